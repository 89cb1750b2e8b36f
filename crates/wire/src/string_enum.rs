//! Enums whose values are texts on the wire.

use crate::decoder::{Decoder, Problem};
use crate::node::Node;

/// A text that is not one of an enum's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not one of {}", .allowed.join(", "))]
pub struct UnknownValue {
    pub value: String,
    pub allowed: &'static [&'static str],
}

/// Which of `names` the node is; notes the failure in `cx`.
pub fn find_name(node: Node, names: &'static [&'static str], cx: &mut Decoder) -> Option<usize> {
    let Node::Str(value) = node else {
        cx.wrong_type("a String", &node);
        return None;
    };
    let found = names.iter().position(|name| *name == value);
    if found.is_none() {
        cx.fail(Problem::NotInEnum {
            value,
            allowed: names,
        });
    }
    found
}

/// Makes an enum with its wire names: `string_enum!(Status { Active = "ACTIVE" });`
/// The first variant is the default, which only fills a value before it is read from the wire.
#[macro_export]
macro_rules! string_enum {
    ($name:ident { $first:ident = $first_text:literal $(, $variant:ident = $text:literal)* $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name {
            #[default]
            $first,
            $($variant,)*
        }
        impl $name {
            pub const ALL: &'static [Self] = &[Self::$first $(, Self::$variant)*];
            pub const NAMES: &'static [&'static str] = &[$first_text $(, $text)*];
            pub fn as_str(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
        $crate::string_enum_impls!($name);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! string_enum_impls {
    ($name:ident) => {
        impl $crate::Value for $name {
            fn set(&mut self, node: $crate::Node, cx: &mut $crate::Decoder) {
                if let Some(index) = $crate::find_name(node, Self::NAMES, cx) {
                    *self = Self::ALL[index];
                }
            }
            fn get(&self) -> $crate::Node {
                $crate::Node::Str(self.as_str().into())
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::UnknownValue;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match Self::NAMES.iter().position(|name| *name == text) {
                    Some(index) => Ok(Self::ALL[index]),
                    None => Err($crate::UnknownValue {
                        value: text.into(),
                        allowed: Self::NAMES,
                    }),
                }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }
        $crate::stored_as_value!($name);
    };
}

/// Serde for a [`Value`](crate::Value), by way of the tree, so that records may hold shapes.
#[doc(hidden)]
#[macro_export]
macro_rules! stored_as_value {
    ($name:ty) => {
        impl $crate::derive_support::Serialize for $name {
            fn serialize<S: $crate::derive_support::Serializer>(
                &self,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                $crate::derive_support::serialize(self, to)
            }
        }
        impl<'de> $crate::derive_support::Deserialize<'de> for $name {
            fn deserialize<D: $crate::derive_support::Deserializer<'de>>(
                from: D,
            ) -> Result<Self, D::Error> {
                $crate::derive_support::deserialize(from)
            }
        }
    };
}

stored_as_value!(crate::Timestamp);
stored_as_value!(crate::Blob);
stored_as_value!(crate::Document);
