//! Enums that are stored as a fixed text for each variant.

/// A text that stands for none of an enum's variants.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no {of}")]
pub(crate) struct UnknownText {
    /// What it should have been.
    pub(crate) of: &'static str,
    /// The text.
    pub(crate) text: String,
}

/// Defines an enum with its texts: `as_str`, `Display`, `FromStr` and `TryFrom<String>`.
macro_rules! text_enum {
    ($(#[$meta:meta])* enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The text that is stored and logged.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::domain::UnknownText {
                        of: stringify!($name),
                        text: text.to_owned(),
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::UnknownText;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}

pub(crate) use text_enum;
