//! CloudFormation's quotas, and the two limits that keep a hostile template from hurting us.

/// The longest template that travels inside a request.
pub const INLINE_TEMPLATE_BYTES_MAX: usize = 51_200;
/// The longest template at all (by way of a URL). Parsing refuses anything longer.
pub const TEMPLATE_BYTES_MAX: usize = 1_048_576;
pub const RESOURCES_MAX: usize = 500;
pub const PARAMETERS_MAX: usize = 200;
pub const OUTPUTS_MAX: usize = 200;
pub const MAPPINGS_MAX: usize = 200;
pub const MAPPING_ATTRIBUTES_MAX: usize = 200;
/// AWS names no limit for rules; no template has nearly as many.
pub const RULES_MAX: usize = 200;
pub const NAME_CHARACTERS_MAX: usize = 255;
pub const DESCRIPTION_BYTES_MAX: usize = 1024;
pub const PARAMETER_VALUE_BYTES_MAX: usize = 4096;
/// How deep a template may nest. Everything that walks a template recurses, so this bounds the
/// stack; the deepest template seen in the wild nests about twenty deep.
pub const DEPTH_MAX: usize = 64;
/// A pattern comes from the template: the compiled form of each of its parts stays below this many bytes.
/// Four thousand of any character, which is as long as a value may be, take three quarters of it.
pub const PATTERN_BYTES_MAX: usize = 4 << 20;
/// How many steps a pattern with look-around may take back while it is matched: milliseconds.
pub const PATTERN_STEPS_MAX: usize = 100_000;
/// How many nodes a transform may make of a template: loops in loops multiply.
pub const TRANSFORMED_NODES_MAX: usize = 200_000;
/// `Fn::Cidr` answers at most this many blocks.
pub const CIDR_BLOCKS_MAX: u64 = 256;
/// What one evaluated text may grow to. Nested `Fn::Sub` and `Fn::Join` can double a text at every
/// level, so the size of the template does not bound it.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
