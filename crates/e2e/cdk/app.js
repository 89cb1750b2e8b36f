// What people write with the CDK: a service behind a load balancer whose image is built from a folder, a
// pipeline with a key of its own, and a task on a schedule.
const cdk = require('aws-cdk-lib');
const applicationautoscaling = require('aws-cdk-lib/aws-applicationautoscaling');
const codebuild = require('aws-cdk-lib/aws-codebuild');
const codecommit = require('aws-cdk-lib/aws-codecommit');
const codepipeline = require('aws-cdk-lib/aws-codepipeline');
const actions = require('aws-cdk-lib/aws-codepipeline-actions');
const ec2 = require('aws-cdk-lib/aws-ec2');
const ecs = require('aws-cdk-lib/aws-ecs');
const patterns = require('aws-cdk-lib/aws-ecs-patterns');

const app = new cdk.App();
const env = { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION };
const image = () => ecs.ContainerImage.fromAsset(__dirname + '/web');

const web = new cdk.Stack(app, 'Web', { env });
const vpc = new ec2.Vpc(web, 'Vpc', { maxAzs: 2, natGateways: 1 });
const cluster = new ecs.Cluster(web, 'Cluster', { vpc });
new patterns.ApplicationLoadBalancedFargateService(web, 'Site', {
  cluster,
  memoryLimitMiB: 512,
  desiredCount: 1,
  minHealthyPercent: 100,
  circuitBreaker: { rollback: true },
  taskImageOptions: {
    image: image(),
    containerPort: 8080,
    command: ['serve', process.env.GREETING || 'hello'],
  },
});

const delivery = new cdk.Stack(app, 'Delivery', { env });
const source = new codepipeline.Artifact();
new codepipeline.Pipeline(delivery, 'Pipeline', {
  pipelineType: codepipeline.PipelineType.V2,
  crossAccountKeys: true,
  enableKeyRotation: true,
  stages: [
    {
      stageName: 'Source',
      actions: [
        new actions.CodeCommitSourceAction({
          actionName: 'Commit',
          repository: new codecommit.Repository(delivery, 'Repository', { repositoryName: 'shop' }),
          branch: 'main',
          output: source,
          trigger: actions.CodeCommitTrigger.POLL,
        }),
      ],
    },
    {
      stageName: 'Build',
      actions: [
        new actions.CodeBuildAction({
          actionName: 'Build',
          input: source,
          project: new codebuild.PipelineProject(delivery, 'Project'),
        }),
      ],
    },
  ],
});

const nightly = new cdk.Stack(app, 'Nightly', { env });
new patterns.ScheduledFargateTask(nightly, 'Job', {
  schedule: applicationautoscaling.Schedule.rate(cdk.Duration.hours(24)),
  scheduledFargateTaskImageOptions: { image: image(), memoryLimitMiB: 512 },
});
