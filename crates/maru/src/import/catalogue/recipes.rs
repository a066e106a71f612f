//! From ingredient lists to stock products and recipes.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::{ItemId, ProductId};

use super::{Item, distinct, folded};
use crate::import::ids::Ids;
use crate::import::map::{Portion, Quantity, RecipeMap, Unit};
use crate::import::report::{Reject, Rejection};

/// Longest SKU that inventory-service takes, in characters.
const MAX_SKU: usize = 64;

/// A thing kept in stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) unit: Unit,
}

/// What one piece of an item consumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) item_id: ItemId,
    pub(crate) lines: Vec<(ProductId, i64)>,
}

/// Ingredients of the map by their folded names and aliases.
struct Pantry<'m> {
    map: &'m RecipeMap,
    known: BTreeMap<String, (&'m str, &'m Portion)>,
}

/// Makes products and recipes. An item whose list cannot be resolved is reported and gets no
/// recipe, so that its stock is not tracked rather than tracked wrongly.
pub(super) fn resolve<'i>(
    map: &RecipeMap,
    source: &str,
    items: impl Iterator<Item = &'i Item>,
    label: &Arc<str>,
    reject: Reject<'_>,
) -> (Vec<Product>, Vec<Recipe>) {
    let ids = Ids::of(source);
    let pantry = Pantry::new(map);
    let mut products: BTreeMap<String, Product> = BTreeMap::new();
    let mut recipes = Vec::new();
    let mut items: Vec<&Item> = items.collect();
    items.sort_by_key(|item| item.line);
    for item in items {
        let portions = match pantry.portions(item) {
            Ok(portions) => portions,
            Err(reason) => {
                reject(Rejection {
                    file: Arc::clone(label),
                    line: item.line,
                    order: String::new(),
                    code: "no_recipe".to_owned(),
                    reason: format!("`{}` is sold without a recipe: {reason}", item.sku),
                });
                continue;
            }
        };
        let mut lines = Vec::new();
        for (name, unit, quantity) in portions {
            let product = products.entry(name).or_insert_with_key(|name| Product {
                id: ids.product(name),
                sku: sku(source, name),
                name: name.clone(),
                unit,
            });
            lines.push((product.id, quantity));
        }
        recipes.push(Recipe {
            item_id: item.id,
            lines,
        });
    }
    recipes.retain(|recipe| !recipe.lines.is_empty());
    (products.into_values().collect(), recipes)
}

impl<'m> Pantry<'m> {
    fn new(map: &'m RecipeMap) -> Self {
        let mut known = BTreeMap::new();
        for (name, ingredient) in &map.known {
            for alias in ingredient.aliases.iter().chain([name]) {
                known.insert(folded(alias), (name.as_str(), &ingredient.portion));
            }
        }
        Self { map, known }
    }

    /// Name, unit and quantity of each ingredient of one piece.
    fn portions(&self, item: &Item) -> Result<Vec<(String, Unit, i64)>, String> {
        let (list, size) = item.made_of.as_ref().ok_or("no ingredient list")?;
        let listed = list.split(self.map.separator.as_str()).map(str::trim);
        let listed = listed.filter(|name| !name.is_empty());
        let mut names: Vec<String> = listed.map(|name| self.name_of(name)).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        for base in &self.map.base {
            let replaced = base
                .unless
                .iter()
                .any(|other| names.contains(&self.name_of(other)));
            if !replaced {
                names.push(self.name_of(&base.ingredient));
            }
        }
        let names = distinct(names);
        let portion = |name: String| {
            let portion = self.portion(&name)?;
            let quantity = self.quantity(portion, &name, size)?;
            Ok((name, portion.unit, quantity))
        };
        names.into_iter().map(portion).collect()
    }

    /// The map's name of an ingredient; its own, with single spaces, when the map does not know it.
    fn name_of(&self, listed: &str) -> String {
        let known = self.known.get(&folded(listed));
        known.map_or_else(
            || listed.split_whitespace().collect::<Vec<_>>().join(" "),
            |(name, _)| (*name).to_owned(),
        )
    }

    fn portion(&self, name: &str) -> Result<&Portion, String> {
        let known = self.known.get(&folded(name)).map(|(_, portion)| *portion);
        let portion = known.or(self.map.default.as_ref());
        portion.ok_or_else(|| format!("ingredient `{name}` is not in the map"))
    }

    fn quantity(&self, portion: &Portion, name: &str, size: &str) -> Result<i64, String> {
        match &portion.quantity {
            Quantity::BySize(sizes) => sizes
                .get(size)
                .copied()
                .ok_or_else(|| format!("ingredient `{name}` has no quantity for size `{size}`")),
            Quantity::Scaled(whole) if self.map.sizes.is_empty() => Ok(*whole),
            Quantity::Scaled(whole) => {
                let percent = self.map.sizes.get(size);
                let percent = percent.ok_or_else(|| format!("size `{size}` is not in the map"))?;
                // Rounded half up, to at least one unit.
                let scaled = whole.saturating_mul(*percent).saturating_add(50) / 100;
                Ok(scaled.max(1))
            }
        }
    }
}

/// `pizza-place:mozzarella-cheese`. The source keeps two imports with one ingredient apart.
fn sku(source: &str, name: &str) -> String {
    let mut sku = format!("{source}:");
    for letter in folded(name).chars() {
        if letter.is_alphanumeric() {
            sku.push(letter);
        } else if !sku.ends_with(['-', ':']) {
            sku.push('-');
        }
    }
    sku.trim_end_matches('-').chars().take(MAX_SKU).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::map::{BaseIngredient, Ingredient};
    use crate::import::template::Template;
    use common::money::Money;

    fn scaled(unit: Unit, quantity: i64, aliases: &[&str]) -> Ingredient {
        Ingredient {
            portion: Portion {
                unit,
                quantity: Quantity::Scaled(quantity),
            },
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        }
    }

    fn map(default: Option<Portion>) -> RecipeMap {
        let mut known = BTreeMap::new();
        known.insert(
            "Artichokes".to_owned(),
            scaled(Unit::Gram, 45, &["Artichoke"]),
        );
        known.insert("Tomato Sauce".to_owned(), scaled(Unit::Millilitre, 81, &[]));
        known.insert("Pesto".to_owned(), scaled(Unit::Gram, 1, &[]));
        let dough = Quantity::BySize(BTreeMap::from([("S".to_owned(), 1)]));
        let portion = Portion {
            unit: Unit::Piece,
            quantity: dough,
        };
        let aliases = Vec::new();
        known.insert("Dough".to_owned(), Ingredient { portion, aliases });
        let base = |ingredient: &str, unless: &[&str]| BaseIngredient {
            ingredient: ingredient.to_owned(),
            unless: unless.iter().map(|&other| other.to_owned()).collect(),
        };
        RecipeMap {
            ingredients: Template::default(),
            separator: ",".to_owned(),
            size: Template::default(),
            sizes: BTreeMap::from([("S".to_owned(), 70), ("M".to_owned(), 100)]),
            base: vec![base("Dough", &[]), base("Tomato Sauce", &["pesto"])],
            default,
            known,
        }
    }

    fn portions(
        map: &RecipeMap,
        list: &str,
        size: &str,
    ) -> Result<Vec<(String, Unit, i64)>, String> {
        let item = Item {
            id: Ids::of("t").item("i"),
            sku: "i".to_owned(),
            name: String::new(),
            product_key: String::new(),
            product_name: String::new(),
            category: String::new(),
            price: Money::new(0, "USD".parse().unwrap()),
            line: 2,
            made_of: Some((list.to_owned(), size.to_owned())),
        };
        Pantry::new(map).portions(&item)
    }

    #[test]
    fn a_recipe_is_the_list_with_its_base_scaled_by_size() {
        let map = map(None);
        let found = portions(&map, " artichoke,ARTICHOKES , ", "S").unwrap();
        let expected = [
            ("Artichokes", Unit::Gram, 32),
            ("Dough", Unit::Piece, 1),
            ("Tomato Sauce", Unit::Millilitre, 57),
        ];
        assert_eq!(
            found,
            expected.map(|(name, unit, quantity)| (name.to_owned(), unit, quantity))
        );
        // Pesto takes the place of the sauce, and rounds up to one gram.
        let found = portions(&map, "Pesto", "S").unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, ["Pesto", "Dough"]);
        assert_eq!(found[0].2, 1);
        assert_eq!(portions(&map, "", "S").unwrap(), []);
    }

    #[test]
    fn what_the_map_does_not_know_is_told_or_takes_the_default() {
        for (list, size, expected) in [
            ("Pineapple", "S", "ingredient `Pineapple` is not in the map"),
            ("Pesto", "XL", "size `XL` is not in the map"),
            (
                "Artichoke",
                "M",
                "ingredient `Dough` has no quantity for size `M`",
            ),
        ] {
            assert_eq!(portions(&map(None), list, size).unwrap_err(), expected);
        }
        let default = Portion {
            unit: Unit::Gram,
            quantity: Quantity::Scaled(40),
        };
        let found = portions(&map(Some(default)), "Pineapple", "S").unwrap();
        assert_eq!(found[0], ("Pineapple".to_owned(), Unit::Gram, 28));
    }

    #[test]
    fn skus_tell_sources_apart() {
        assert_eq!(
            sku("pizza-place", " 'Nduja  Salami!"),
            "pizza-place:nduja-salami"
        );
        assert_eq!(sku("cafe", "모짜렐라 치즈"), "cafe:모짜렐라-치즈");
        assert_eq!(sku("cafe", &"x".repeat(100)).chars().count(), MAX_SKU);
    }
}
