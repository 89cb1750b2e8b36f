//! What pulling an image needs permission for, whoever's name it is done in: a task's execution role, a
//! build's service role, or a service itself.

use engine::ImageName;
use wire::Error;

use crate::permission::{Need, Needs, Touched};
use crate::{Caller, Cx};

/// What ECR asks for, after the registry has let somebody in.
const ACTIONS: [&str; 3] = [
    "ecr:BatchGetImage",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
];

/// Why an image may not be pulled.
#[derive(Debug)]
pub enum PullRefused {
    /// No password of the registry was to be had.
    Login(Error),
    /// The repository may not be read.
    Image(Error),
}

impl Cx {
    /// Whether the caller may pull an image. Those of other registries need no permission of AWS's. A
    /// service in its own name has no policies of its own: the repository's has to let it.
    pub fn authorize_pull(&self, image: &ImageName) -> Result<(), PullRefused> {
        let repository = &image.repository;
        let Some(region) = region_of(&repository.host, self.account()) else {
            return Ok(());
        };
        let cx = self.in_region(region);
        cx.authorize_one("ecr", Need::new("ecr:GetAuthorizationToken", None))
            .map_err(PullRefused::Login)?;
        let path = &repository.path;
        let touched = cx
            .find_resource("ecr", path)
            .unwrap_or_else(|| Touched::named(cx.arn("ecr", &format!("repository/{path}"))));
        for action in ACTIONS {
            let need = Need::new(action, Some(touched.clone()));
            let asked = match cx.caller {
                Caller::Service(_) => cx.authorize_service("ecr", need),
                _ => cx.authorize_one("ecr", need),
            };
            asked.map_err(PullRefused::Image)?;
        }
        Ok(())
    }

    /// Whether the policy of a resource lets a service use it in the service's own name.
    fn authorize_service(&self, service: &str, need: Need) -> Result<(), Error> {
        let needs = Needs {
            all: vec![need],
            ..Needs::default()
        };
        match self.cloud.authority() {
            Some(authority) => authority.check(self, service, &needs),
            None => Ok(()),
        }
    }
}

/// The region of the account's own registry: `<account>.dkr.ecr.<region>.amazonaws.com`.
fn region_of<'a>(host: &'a str, account: &str) -> Option<&'a str> {
    let rest = host.strip_prefix(account)?.strip_prefix(".dkr.ecr.")?;
    rest.strip_suffix(".amazonaws.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_own_registry_is_told_from_others() {
        let region = |host: &str| region_of(host, "000000000000").map(str::to_owned);
        let own = "000000000000.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(region(own).as_deref(), Some("eu-west-1"));
        assert_eq!(region("111111111111.dkr.ecr.eu-west-1.amazonaws.com"), None);
        assert_eq!(region("docker.io"), None);
        assert_eq!(
            region("000000000000.dkr.ecr.eu-west-1.amazonaws.com.evil"),
            None
        );
    }
}
