//! The sections about what items are made of.

use std::collections::BTreeMap;

use super::Reader;
use crate::import::map::section::Section;
use crate::import::map::{BaseIngredient, Ingredient, Portion, Quantity, RecipeMap, Unit};

impl Reader<'_> {
    /// The recipes, if the map has any.
    pub(super) fn recipes(&mut self) -> Option<RecipeMap> {
        let known = self.ingredients();
        let mut section = self.root.section("recipes")?;
        let sizes = section.section("sizes").map(Section::into_counts);
        let base = section.sections("base").into_iter().map(|mut base| {
            let ingredient = base.need_text("ingredient").to_owned();
            let unless = base.texts("unless");
            base.finish();
            BaseIngredient { ingredient, unless }
        });
        let base: Vec<BaseIngredient> = base.collect();
        let default = section.section("default").map(|mut default| {
            let portion = portion(&mut default);
            default.finish();
            portion
        });
        if default.is_none() {
            for base in &base {
                if !known.contains_key(&base.ingredient) {
                    let what = format!("`{}` is not in [ingredients]", base.ingredient);
                    section.fault("base", what);
                }
            }
        }
        let recipes = RecipeMap {
            ingredients: self.need_template(&mut section, "ingredients"),
            separator: section.text("separator").unwrap_or(",").to_owned(),
            size: self.template(&mut section, "size").unwrap_or_default(),
            sizes: sizes.unwrap_or_default().into_iter().collect(),
            base,
            default,
            known,
        };
        if recipes.separator.is_empty() {
            section.fault("separator", "must not be empty");
        }
        section.finish();
        Some(recipes)
    }

    fn ingredients(&mut self) -> BTreeMap<String, Ingredient> {
        let mut known = BTreeMap::new();
        for (name, mut section) in self.root.named_sections("ingredients") {
            let portion = portion(&mut section);
            let aliases = section.texts("aliases");
            section.finish();
            known.insert(name, Ingredient { portion, aliases });
        }
        known
    }
}

fn portion(section: &mut Section<'_>) -> Portion {
    let unit = match section.need_text("unit") {
        "g" => Unit::Gram,
        "ml" => Unit::Millilitre,
        "piece" => Unit::Piece,
        other => {
            if !other.is_empty() {
                section.fault("unit", "expected `g`, `ml` or `piece`");
            }
            Unit::Piece
        }
    };
    let quantity = if section.holds_table("quantity") {
        let by_size = section.section("quantity").map(Section::into_counts);
        Quantity::BySize(by_size.unwrap_or_default().into_iter().collect())
    } else {
        if !section.has("quantity") {
            section.missing("quantity");
        }
        Quantity::Scaled(section.whole("quantity", 1).unwrap_or(1))
    };
    Portion { unit, quantity }
}
