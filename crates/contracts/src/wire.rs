//! Between the fields of the gRPC messages and the types of this workspace. Ids travel as text,
//! money as minor units beside a currency code; a field that does not parse is the caller's
//! fault and becomes `INVALID_ARGUMENT`, naming the field and never repeating its content.

use std::str::FromStr;

use common::money::{Currency, Money};
use tonic::Status;

/// The `decline_code` of an authorization that the provider never judged, because it could not be
/// reached: not the card's fault, and worth another try later.
pub const PROVIDER_UNAVAILABLE: &str = "provider_unavailable";

/// Reads an id from its text form.
///
/// # Errors
/// `INVALID_ARGUMENT` when the text is no UUID.
///
/// ```
/// # use common::ids::OrderId;
/// let text = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
/// let id: OrderId = contracts::wire::parse_id("order_id", text).unwrap();
/// assert_eq!(id.to_string(), text);
/// assert!(contracts::wire::parse_id::<OrderId>("order_id", "7").is_err());
/// ```
pub fn parse_id<T: FromStr>(field: &str, text: &str) -> Result<T, Status> {
    // A UUID is also read without hyphens, in braces and as a URN; here there is only one form.
    match T::from_str(text) {
        Ok(id) if text.len() == uuid::fmt::Hyphenated::LENGTH => Ok(id),
        _ => Err(invalid(field, "is not a UUID")),
    }
}

/// Reads an amount with its currency.
///
/// # Errors
/// `INVALID_ARGUMENT` when the currency is not known.
pub fn parse_money(field: &str, amount: i64, currency: &str) -> Result<Money, Status> {
    match Currency::from_str(currency) {
        Ok(currency) => Ok(Money::new(amount, currency)),
        Err(_) => Err(invalid(field, "is not a known ISO 4217 currency")),
    }
}

/// Reads an enum field, refusing `UNSPECIFIED` and values this side does not know.
///
/// # Errors
/// `INVALID_ARGUMENT` for both.
pub fn parse_enum<E: TryFrom<i32> + Default + PartialEq>(
    field: &str,
    value: i32,
) -> Result<E, Status> {
    match E::try_from(value) {
        Ok(known) if known != E::default() => Ok(known),
        _ => Err(invalid(field, "is not a known value")),
    }
}

/// The status of a field that cannot be used.
#[must_use]
pub fn invalid(field: &str, fault: &str) -> Status {
    Status::invalid_argument(format!("{field} {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory_v1::ReserveOutcome;
    use common::ids::StoreId;
    use tonic::Code;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
        let id: StoreId = parse_id("store_id", text).unwrap();
        assert_eq!(id.to_string(), text);
        for other in [
            "",
            "1",
            "0190b7a05a3c7c1e9a512f3a4b5c6d7e",
            "{0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e}",
            "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7g",
        ] {
            let status = parse_id::<StoreId>("store_id", other).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(status.message(), "store_id is not a UUID");
        }
    }

    #[test]
    fn money_needs_a_known_currency() {
        assert_eq!(
            parse_money("currency", 5, "USD").unwrap(),
            Money::new(5, Currency::from_str("USD").unwrap())
        );
        assert!(parse_money("currency", 5, "usd!").is_err());
    }

    #[test]
    fn unspecified_and_unknown_enum_values_are_refused() {
        let known = parse_enum::<ReserveOutcome>("outcome", 1).unwrap();
        assert_eq!(known, ReserveOutcome::Reserved);
        assert!(parse_enum::<ReserveOutcome>("outcome", 0).is_err());
        assert!(parse_enum::<ReserveOutcome>("outcome", 99).is_err());
    }
}
