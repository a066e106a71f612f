//! Which plugins apply to a route.

use super::Notes;
use super::form::{KongFile, KongPlugin, KongRoute, Reference};
use super::services::plain;

/// A plugin and what it was put on.
pub(super) struct Scoped<'k> {
    pub(super) plugin: &'k KongPlugin,
    /// Names the route, the service or all of them.
    pub(super) scope: String,
}

/// The plugins of a route: its own, else its service's, else those of all. As in Kong, one that is not
/// enabled, or is for some consumers alone, does not take the place of another of its name.
pub(super) fn of_route<'k>(
    kong: &'k KongFile,
    nested: &[&'k KongPlugin],
    service: &str,
    (route, name): (&'k KongRoute, &str),
    notes: &mut Notes,
) -> Vec<Scoped<'k>> {
    let all = || kong.plugins.iter();
    let free = |reference: &Option<Reference>| reference.is_none();
    let own =
        all().filter(|it| is(&it.route, name) && (free(&it.service) || is(&it.service, service)));
    let services = all().filter(|it| free(&it.route) && is(&it.service, service));
    let global = all().filter(|it| free(&it.route) && free(&it.service));
    let levels: [(String, String, Vec<&'k KongPlugin>); 3] = [
        (
            plain(name),
            format!("route {name}"),
            route.plugins.iter().chain(own).collect(),
        ),
        (
            format!("service-{}", plain(service)),
            format!("service {service}"),
            nested.iter().copied().chain(services).collect(),
        ),
        ("all".to_owned(), "all routes".to_owned(), global.collect()),
    ];
    let mut found: Vec<Scoped<'k>> = Vec::new();
    for (scope, place, plugins) in levels {
        for plugin in plugins {
            if let Some(reason) = left_out(plugin) {
                let place = format!("{place}, plugin {}", plugin.name);
                notes.add(&place, &format!("was not converted: {reason}"));
            } else if !found.iter().any(|known| known.plugin.name == plugin.name) {
                let scope = scope.clone();
                found.push(Scoped { plugin, scope });
            }
        }
    }
    found
}

fn is(reference: &Option<Reference>, name: &str) -> bool {
    reference.as_ref().and_then(Reference::name) == Some(name)
}

fn left_out(plugin: &KongPlugin) -> Option<&'static str> {
    if plugin.enabled == Some(false) {
        return Some("it is not enabled");
    }
    let some_consumers = plugin.consumer.is_some() || plugin.consumer_group.is_some();
    some_consumers.then_some("it is for some consumers alone")
}

/// Names the plugins that were put on something that is not there.
pub(super) fn name_lost(
    kong: &KongFile,
    routes: &[String],
    services: &[String],
    notes: &mut Notes,
) {
    for plugin in &kong.plugins {
        let places = [
            ("route", &plugin.route, routes),
            ("service", &plugin.service, services),
        ];
        for (kind, reference, known) in places {
            let Some(reference) = reference else { continue };
            let name = reference.name().unwrap_or_default();
            if !known.iter().any(|known| known == name) {
                notes.add(
                    &format!("plugin {}", plugin.name),
                    &format!("was not converted: there is no {kind} `{name}`"),
                );
            }
        }
    }
}
