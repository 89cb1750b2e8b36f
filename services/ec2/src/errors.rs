//! EC2's error codes: its model has none (EC2 API reference, "Error codes").

#![allow(non_upper_case_globals)]

use cloud::{Error, ErrorCode};

macro_rules! codes {
    ($($name:ident = $code:literal;)*) => { $(pub const $name: ErrorCode = ErrorCode::sender($code, 400);)* };
}

/// The answer to a request with `DryRun` that would have been carried out.
pub const DryRunOperation: ErrorCode = ErrorCode::sender("DryRunOperation", 412);

codes! {
    AddressLimitExceeded = "AddressLimitExceeded";
    DefaultSubnetAlreadyExists = "DefaultSubnetAlreadyExistsInAvailabilityZone";
    DefaultVpcAlreadyExists = "DefaultVpcAlreadyExists";
    DefaultVpcDoesNotExist = "DefaultVpcDoesNotExist";
    DependencyViolation = "DependencyViolation";
    GatewayNotAttached = "Gateway.NotAttached";
    IdempotentParameterMismatch = "IdempotentParameterMismatch";
    IncorrectInstanceState = "IncorrectInstanceState";
    IncorrectState = "IncorrectState";
    InstanceLimitExceeded = "InstanceLimitExceeded";
    InvalidAmiIdMalformed = "InvalidAMIID.Malformed";
    InvalidAmiIdNotFound = "InvalidAMIID.NotFound";
    InvalidAmiIdUnavailable = "InvalidAMIID.Unavailable";
    InvalidBlockDeviceMapping = "InvalidBlockDeviceMapping";
    InvalidInstanceIdMalformed = "InvalidInstanceID.Malformed";
    InvalidInstanceIdNotFound = "InvalidInstanceID.NotFound";
    InvalidInstanceType = "InvalidInstanceType";
    InvalidKeyFormat = "InvalidKey.Format";
    InvalidKeyPairDuplicate = "InvalidKeyPair.Duplicate";
    InvalidKeyPairNotFound = "InvalidKeyPair.NotFound";
    InvalidVolumeNotFound = "InvalidVolume.NotFound";
    MissingInput = "MissingInput";
    NoSuchAssociation = "NoSuchAssociation";
    OperationNotPermitted = "OperationNotPermitted";
    InvalidAddressNotFound = "InvalidAddress.NotFound";
    InvalidAllocationIdNotFound = "InvalidAllocationID.NotFound";
    InvalidAssociationIdNotFound = "InvalidAssociationID.NotFound";
    InvalidDhcpOptionIdNotFound = "InvalidDhcpOptionID.NotFound";
    InvalidLaunchTemplateIdMalformed = "InvalidLaunchTemplateId.Malformed";
    InvalidLaunchTemplateIdNotFound = "InvalidLaunchTemplateId.NotFound";
    InvalidLaunchTemplateNameAlreadyExists = "InvalidLaunchTemplateName.AlreadyExistsException";
    InvalidLaunchTemplateNameMalformed = "InvalidLaunchTemplateName.MalformedException";
    InvalidLaunchTemplateNameNotFound = "InvalidLaunchTemplateName.NotFoundException";
    InvalidLaunchTemplateVersionNotFound = "InvalidLaunchTemplateId.VersionNotFound";
    InvalidUserDataMalformed = "InvalidUserData.Malformed";
    LaunchTemplateLimitExceeded = "TemplateLimitExceeded";
    LaunchTemplateVersionLimitExceeded = "VersionLimitExceeded";
    InvalidGroupDuplicate = "InvalidGroup.Duplicate";
    InvalidGroupNotFound = "InvalidGroup.NotFound";
    InvalidIdNotFound = "InvalidID";
    InvalidNextToken = "InvalidNextToken";
    InvalidInternetGatewayIdNotFound = "InvalidInternetGatewayID.NotFound";
    InvalidNetworkAclEntryNotFound = "InvalidNetworkAclEntry.NotFound";
    InvalidNetworkAclIdNotFound = "InvalidNetworkAclID.NotFound";
    InvalidNetworkInterfaceIdNotFound = "InvalidNetworkInterfaceID.NotFound";
    InvalidParameterCombination = "InvalidParameterCombination";
    InvalidParameterValue = "InvalidParameterValue";
    InvalidPermissionDuplicate = "InvalidPermission.Duplicate";
    InvalidPermissionNotFound = "InvalidPermission.NotFound";
    InvalidPermissionMalformed = "InvalidPermission.Malformed";
    InvalidRouteNotFound = "InvalidRoute.NotFound";
    InvalidRouteTableIdNotFound = "InvalidRouteTableID.NotFound";
    InvalidSecurityGroupRuleIdNotFound = "InvalidSecurityGroupRuleId.NotFound";
    InvalidSubnetConflict = "InvalidSubnet.Conflict";
    InvalidSubnetIdNotFound = "InvalidSubnetID.NotFound";
    InvalidSubnetRange = "InvalidSubnet.Range";
    InvalidVpcIdNotFound = "InvalidVpcID.NotFound";
    InvalidVpcRange = "InvalidVpc.Range";
    InsufficientFreeAddressesInSubnet = "InsufficientFreeAddressesInSubnet";
    InvalidIpAddressInUse = "InvalidIPAddress.InUse";
    NetworkAclEntryAlreadyExists = "NetworkAclEntryAlreadyExists";
    NetworkAclEntryLimitExceeded = "NetworkAclEntryLimitExceeded";
    NatGatewayNotFound = "NatGatewayNotFound";
    MissingParameter = "MissingParameter";
    PrivateIpAddressLimitExceeded = "PrivateIpAddressLimitExceeded";
    InvalidGroupIdMalformed = "InvalidGroupId.Malformed";
    ResourceAlreadyAssociated = "Resource.AlreadyAssociated";
    RouteAlreadyExists = "RouteAlreadyExists";
    VpcIdNotSpecified = "VPCIdNotSpecified";
}

/// `The vpc ID 'vpc-1' does not exist`.
pub fn not_found(code: ErrorCode, what: &str, id: &str) -> Error {
    code.because(format!("The {what} ID '{id}' does not exist"))
}

/// Refuses what cannot be a security group's id.
pub fn check_group_id(id: &str) -> Result<(), Error> {
    let hex = id.strip_prefix("sg-").unwrap_or_default();
    match !hex.is_empty() && hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        true => Ok(()),
        false => {
            Err(InvalidGroupIdMalformed
                .because(format!("The security group ID '{id}' is malformed")))
        }
    }
}

/// What this version cannot do, by name.
pub fn unsupported(what: &str) -> Error {
    shapes::ec2::MODEL.unsupported(what)
}
