# What boto3 asks of S3, and how it is answered. Run by s3.rs with the daemon in the environment.
import boto3, urllib.request, hashlib, io, json, sys, os
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
def code(f):
    try: f()
    except ClientError as e: return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    raise Exception("not refused")
b = "boto-bucket"
s3.create_bucket(Bucket=b)
# checksums of every kind, also in trailers
for a in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]:
    try:
        s3.put_object(Bucket=b, Key="sum/" + a, Body=b"123456789", ChecksumAlgorithm=a)
    except Exception as e:
        if "CRT" in str(e) or "crt" in str(e): continue
        raise
    h = s3.head_object(Bucket=b, Key="sum/" + a, ChecksumMode="ENABLED")
    assert h["Checksum" + a], h
# conditions
e = s3.put_object(Bucket=b, Key="k", Body=b"0123456789", Metadata={"a": "1"}, ContentType="text/plain", Tagging="x=1&y=2")["ETag"]
assert e == '"%s"' % hashlib.md5(b"0123456789").hexdigest()
assert code(lambda: s3.get_object(Bucket=b, Key="k", IfNoneMatch=e)) == ("304", 304)
assert code(lambda: s3.get_object(Bucket=b, Key="k", IfMatch='"x"')) == ("PreconditionFailed", 412)
assert code(lambda: s3.put_object(Bucket=b, Key="k", Body=b"", IfNoneMatch="*")) == ("PreconditionFailed", 412)
# ranges
r = s3.get_object(Bucket=b, Key="k", Range="bytes=2-4")
assert r["Body"].read() == b"234" and r["ContentRange"] == "bytes 2-4/10" and r["Metadata"] == {"a": "1"}
assert s3.get_object(Bucket=b, Key="k", Range="bytes=-3")["Body"].read() == b"789"
assert code(lambda: s3.get_object(Bucket=b, Key="k", Range="bytes=20-")) == ("InvalidRange", 416)
assert s3.get_object(Bucket=b, Key="k", ResponseContentType="x/y")["ContentType"] == "x/y"
# tags
t = s3.get_object_tagging(Bucket=b, Key="k")["TagSet"]
assert sorted((i["Key"], i["Value"]) for i in t) == [("x", "1"), ("y", "2")], t
s3.put_object_tagging(Bucket=b, Key="k", Tagging={"TagSet": [{"Key": "z", "Value": "3"}]})
assert s3.get_object(Bucket=b, Key="k")["TagCount"] == 1
# copies
c = s3.copy_object(Bucket=b, Key="dir/ü +%", CopySource={"Bucket": b, "Key": "k"})
assert c["CopyObjectResult"]["ETag"] == e
assert s3.head_object(Bucket=b, Key="dir/ü +%")["Metadata"] == {"a": "1"}
s3.copy_object(Bucket=b, Key="k", CopySource={"Bucket": b, "Key": "k"}, MetadataDirective="REPLACE", Metadata={"b": "2"})
assert s3.head_object(Bucket=b, Key="k")["Metadata"] == {"b": "2"}
assert code(lambda: s3.copy_object(Bucket=b, Key="k", CopySource={"Bucket": b, "Key": "k"}))[0] == "InvalidRequest"
# listing
for i in range(25): s3.put_object(Bucket=b, Key="l/%02d/x" % i, Body=b"")
def pages(**kw):
    keys, pre, n = [], [], 0
    for p in s3.get_paginator("list_objects_v2").paginate(Bucket=b, PaginationConfig={"PageSize": 7}, **kw):
        n += 1
        keys += [o["Key"] for o in p.get("Contents", [])]; pre += [o["Prefix"] for o in p.get("CommonPrefixes", [])]
    return keys, pre, n
k, p, n = pages(Prefix="l/", Delimiter="/")
assert k == [] and p == ["l/%02d/" % i for i in range(25)] and n == 4, (k, p, n)
k, p, n = pages(Prefix="l/")
assert k == ["l/%02d/x" % i for i in range(25)], k
k = []
for pg in s3.get_paginator("list_objects").paginate(Bucket=b, Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 10}):
    k += [o["Prefix"] for o in pg["CommonPrefixes"]]
assert k == ["l/%02d/" % i for i in range(25)], k
# versions
v = "boto-versions"
s3.create_bucket(Bucket=v)
s3.put_bucket_versioning(Bucket=v, VersioningConfiguration={"Status": "Enabled"})
for i in range(5): s3.put_object(Bucket=v, Key="a", Body=b"%d" % i); s3.put_object(Bucket=v, Key="a/b", Body=b"")
s3.delete_object(Bucket=v, Key="a")
seen = []
for pg in s3.get_paginator("list_object_versions").paginate(Bucket=v, PaginationConfig={"PageSize": 2}):
    seen += [(o["Key"], o["VersionId"], o["IsLatest"]) for o in pg.get("Versions", []) + pg.get("DeleteMarkers", [])]
assert len(seen) == 11 and len({i[1] for i in seen}) == 11 and sum(i[2] for i in seen) == 2, seen
err = None
try: s3.head_object(Bucket=v, Key="a")
except ClientError as x: err = x.response["ResponseMetadata"]["HTTPHeaders"]
assert err["x-amz-delete-marker"] == "true", err
assert code(lambda: s3.delete_bucket(Bucket=v)) == ("BucketNotEmpty", 409)
r = s3.delete_objects(Bucket=v, Delete={"Objects": [{"Key": k, "VersionId": i} for k, i, _ in seen]})
assert len(r["Deleted"]) == 11 and "Errors" not in r
s3.delete_bucket(Bucket=v)
# multipart
u = s3.create_multipart_upload(Bucket=b, Key="mp")["UploadId"]
big = os.urandom(5 * 1024 * 1024)
e1 = s3.upload_part(Bucket=b, Key="mp", UploadId=u, PartNumber=1, Body=big)["ETag"]
e2 = s3.upload_part_copy(Bucket=b, Key="mp", UploadId=u, PartNumber=2, CopySource={"Bucket": b, "Key": "k"}, CopySourceRange="bytes=0-3")["CopyPartResult"]["ETag"]
assert [p["Size"] for p in s3.list_parts(Bucket=b, Key="mp", UploadId=u)["Parts"]] == [len(big), 4]
assert s3.list_multipart_uploads(Bucket=b)["Uploads"][0]["UploadId"] == u
assert code(lambda: s3.complete_multipart_upload(Bucket=b, Key="mp", UploadId=u, MultipartUpload={"Parts": [{"PartNumber": 2, "ETag": e2}, {"PartNumber": 1, "ETag": e1}]}))[0] == "InvalidPartOrder"
assert code(lambda: s3.complete_multipart_upload(Bucket=b, Key="mp", UploadId=u, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": e2}]}))[0] == "InvalidPart"
assert code(lambda: s3.head_object(Bucket=b, Key="mp"))[1] == 404
d = s3.complete_multipart_upload(Bucket=b, Key="mp", UploadId=u, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": e1}, {"PartNumber": 2, "ETag": e2}]})
assert d["ETag"].endswith('-2"')
assert s3.get_object(Bucket=b, Key="mp")["Body"].read() == big + b"0123"
assert s3.get_object(Bucket=b, Key="mp", PartNumber=2)["Body"].read() == b"0123"
at = s3.get_object_attributes(Bucket=b, Key="mp", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts", "Checksum"])
assert at["ObjectSize"] == len(big) + 4 and at["ObjectParts"]["TotalPartsCount"] == 2, at
u = s3.create_multipart_upload(Bucket=b, Key="mp2")["UploadId"]
s3.abort_multipart_upload(Bucket=b, Key="mp2", UploadId=u)
assert code(lambda: s3.upload_part(Bucket=b, Key="mp2", UploadId=u, PartNumber=1, Body=b""))[0] == "NoSuchUpload"
# presigned
def req(m, url, data=None, h={}):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=m, headers=h)) as r: return r.status, r.read()
    except urllib.error.HTTPError as x: return x.code, x.read()
from botocore.config import Config
for sv in ["s3v4", "s3"]:
    c = boto3.client("s3", config=Config(signature_version=sv))
    if sv == "s3v4":
        url = c.generate_presigned_url("put_object", Params={"Bucket": b, "Key": "pre +"})
        r = req("PUT", url, b"pre"); assert r[0] == 200, r
    url = c.generate_presigned_url("get_object", Params={"Bucket": b, "Key": "pre +"})
    assert req("GET", url) == (200, b"pre")
    assert req("GET", url.replace("pre%20%2B", "posted"))[0] == 403, url
post = s3.generate_presigned_post(b, "posted", Conditions=[["content-length-range", 1, 100]])
def form(post, data):
    bd = "xxBOUNDxx"; o = b""
    for k, x in post["fields"].items(): o += ("--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (bd, k, x)).encode()
    o += ("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\n" % bd).encode() + data + ("\r\n--%s--\r\n" % bd).encode()
    return req("POST", post["url"], o, {"Content-Type": "multipart/form-data; boundary=" + bd})
r = form(post, b"form"); assert r[0] == 204, r
assert s3.get_object(Bucket=b, Key="posted")["Body"].read() == b"form"
r = form(post, b"x" * 101); assert r[0] == 400, r
# sessions
iam, sts = boto3.client("iam"), boto3.client("sts")
me = sts.get_caller_identity()["Account"]
arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": me}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
assert code(lambda: sts.assume_role(RoleArn=arn, RoleSessionName="session")) == ("AccessDenied", 403)
iam.create_user(UserName="ann"); ann = iam.create_access_key(UserName="ann")["AccessKey"]
sts = boto3.client("sts", aws_access_key_id=ann["AccessKeyId"], aws_secret_access_key=ann["SecretAccessKey"])
k = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
s = boto3.client("s3", aws_access_key_id=k["AccessKeyId"], aws_secret_access_key=k["SecretAccessKey"], aws_session_token=k["SessionToken"])
assert s.get_object(Bucket=b, Key="posted")["Body"].read() == b"form"
bad = boto3.client("s3", aws_access_key_id=k["AccessKeyId"], aws_secret_access_key=k["SecretAccessKey"], aws_session_token="wrong")
assert code(lambda: bad.list_buckets())[1] == 403
wrong = boto3.client("s3", aws_secret_access_key="wrong", aws_access_key_id=k["AccessKeyId"], aws_session_token=k["SessionToken"])
assert code(lambda: wrong.list_buckets()) == ("SignatureDoesNotMatch", 403)
# settings
s3.put_bucket_tagging(Bucket=b, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}); assert s3.get_bucket_tagging(Bucket=b)["TagSet"] == [{"Key": "a", "Value": "b"}]
rules = [{"ID": "one", "Status": "Enabled", "Filter": {"And": {"Prefix": "x/", "Tags": [{"Key": "a", "Value": "b"}]}}, "Expiration": {"Days": 3}}, {"ID": "two", "Status": "Disabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}, "NoncurrentVersionExpiration": {"NoncurrentDays": 4}}]
s3.put_bucket_lifecycle_configuration(Bucket=b, LifecycleConfiguration={"Rules": rules}); assert s3.get_bucket_lifecycle_configuration(Bucket=b)["Rules"] == rules, s3.get_bucket_lifecycle_configuration(Bucket=b)["Rules"]
cors = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 5}]
s3.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": cors}); assert s3.get_bucket_cors(Bucket=b)["CORSRules"] == cors
site = {"IndexDocument": {"Suffix": "i.html"}, "ErrorDocument": {"Key": "e.html"}, "RoutingRules": [{"Condition": {"KeyPrefixEquals": "a/"}, "Redirect": {"ReplaceKeyPrefixWith": "b/"}}]}
s3.put_bucket_website(Bucket=b, WebsiteConfiguration=site); w = s3.get_bucket_website(Bucket=b); w.pop("ResponseMetadata"); assert w == site, w
assert s3.get_public_access_block(Bucket=b)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is True
pol = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*" % b}]})
assert code(lambda: s3.put_bucket_policy(Bucket=b, Policy=pol)) == ("AccessDenied", 403)
s3.delete_public_access_block(Bucket=b); s3.put_bucket_policy(Bucket=b, Policy=pol)
assert s3.get_bucket_policy(Bucket=b)["Policy"] == pol and s3.get_bucket_policy_status(Bucket=b)["PolicyStatus"]["IsPublic"]
assert req("GET", s3.meta.endpoint_url + "/" + b + "/posted") == (200, b"form")
assert code(lambda: s3.put_object_acl(Bucket=b, Key="k", ACL="public-read"))[0] == "AccessControlListNotSupported"
s3.delete_bucket_policy(Bucket=b); assert req("GET", s3.meta.endpoint_url + "/" + b + "/posted")[0] == 403
s3.put_bucket_ownership_controls(Bucket=b, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
s3.put_object_acl(Bucket=b, Key="posted", ACL="public-read"); assert req("GET", s3.meta.endpoint_url + "/" + b + "/posted") == (200, b"form")
assert len(s3.get_object_acl(Bucket=b, Key="posted")["Grants"]) == 2
s3.put_bucket_encryption(Bucket=b, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
for f in [lambda: s3.put_bucket_encryption(Bucket=b, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]}),
          lambda: s3.put_object(Bucket=b, Key="x", StorageClass="GLACIER"), lambda: s3.put_object(Bucket=b, Key="x", ServerSideEncryption="aws:kms:dsse"),
          lambda: s3.put_bucket_notification_configuration(Bucket=b, NotificationConfiguration={"EventBridgeConfiguration": {}}),
          lambda: s3.put_bucket_replication(Bucket=b, ReplicationConfiguration={"Role": "r", "Rules": [{"Status": "Enabled", "Destination": {"Bucket": "b"}}]}),
          lambda: s3.restore_object(Bucket=b, Key="posted", RestoreRequest={"Days": 1}), lambda: s3.select_object_content(Bucket=b, Key="k", Expression="x", ExpressionType="SQL", InputSerialization={"CSV": {}}, OutputSerialization={"CSV": {}})]:
    assert code(f) == ("NotImplemented", 501), code(f)
assert code(lambda: s3.get_object(Bucket=b, Key="nope")) == ("NoSuchKey", 404)
assert code(lambda: s3.get_object(Bucket="no-such-bucket-here", Key="nope")) == ("NoSuchBucket", 404)
print("all well")
