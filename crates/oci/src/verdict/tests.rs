// SPDX-License-Identifier: BSD-2-Clause

use super::specification::properties;
use super::*;
use serde_json::json;
use std::collections::BTreeSet;

fn judged(mut document: Value) -> Findings {
    if let Value::Object(properties) = &mut document {
        properties.entry("ociVersion").or_insert("1.0.2".into());
    }
    judge(&document).unwrap()
}

/// Builds a document that has one property, by its path in the table.
fn document(path: &str, value: Value) -> Value {
    path.rsplit('.')
        .fold(value, |inner, part| match part.strip_suffix("[]") {
            Some(name) => json!({ name: [inner] }),
            None => json!({ part: inner }),
        })
}

#[test]
fn every_property_is_in_the_table_once_and_below_an_object() {
    let mut seen = BTreeSet::new();
    for (path, _) in TABLE {
        assert!(seen.insert(path), "{path} is there twice");
        let parent = match path.strip_suffix("[]") {
            Some(list) => list,
            None => path.rsplit_once('.').map_or("", |(parent, _)| parent),
        };
        assert!(
            parent.is_empty() || verdict(parent) == Some(Object),
            "{path}"
        );
    }
}

#[test]
fn every_property_that_the_specifications_types_have_is_in_the_table() {
    let properties = properties();
    // Those that are sure to be there, at all depths.
    for path in [
        "ociVersion",
        "process.user.uid",
        "mounts[].options",
        "linux.resources.cpu.quota",
    ] {
        assert!(properties.contains(path), "{path} is not in {properties:?}");
    }
    // The types have these at the document's top as well, where the specification does not: they are noted as unknown.
    let theirs = ["uidMappings", "gidMappings"];
    let missing: Vec<_> = properties
        .iter()
        .filter(|path| !theirs.iter().any(|name| path.starts_with(name)))
        .filter(|path| {
            // What is honoured, left out or refused is so with all that is below it.
            let ends = path.match_indices(['.', '[']).map(|(at, _)| at);
            let mut above = ends.chain([path.len()]).map(|end| &path[..end]);
            let decided = above.any(|path| !matches!(verdict(path), None | Some(Object)));
            !decided && verdict(path) != Some(Object)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "nobody says what becomes of {missing:?}"
    );
}

#[test]
fn whatever_is_refused_is_refused_by_name() {
    for (path, expected) in TABLE {
        let Refused(why) = expected else { continue };
        let findings = judged(document(path, json!({ "some": "thing" })));
        let expected = Refusal {
            property: (*path).into(),
            why: (*why).into(),
        };
        assert_eq!(findings.refusals, [expected]);
    }
}

#[test]
fn whatever_is_left_out_is_noted_with_its_reason() {
    for (path, expected) in TABLE {
        let Harmless(why) = expected else { continue };
        let findings = judged(document(path, json!(7)));
        assert_eq!(findings.refusals, []);
        assert!(findings.notes[0].contains(path) && findings.notes[0].contains(why));
    }
}

#[test]
fn a_property_that_asks_for_nothing_is_not_refused() {
    for value in [
        json!(null),
        json!({}),
        json!([]),
        json!(""),
        json!(0),
        json!(false),
        json!({ "x": {} }),
    ] {
        let findings = judged(document("linux.seccomp", value.clone()));
        assert_eq!(findings, Findings::default(), "{value}");
    }
}

#[test]
fn a_property_that_asks_for_anything_is_refused() {
    for value in [
        json!(true),
        json!("x"),
        json!(-1),
        json!([{}]),
        json!({ "x": { "y": 1 } }),
    ] {
        let findings = judged(document("linux.seccomp", value.clone()));
        assert_eq!(findings.refusals.len(), 1, "{value}");
    }
}

#[test]
fn all_refusals_are_told_at_once() {
    let findings = judged(json!({
        "hooks": { "prestart": [{ "path": "/bin/true" }] },
        "linux": { "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" }, "resources": { "cpu": { "quota": 1, "shares": 2 } } },
    }));
    let mut names: Vec<_> = findings
        .refusals
        .iter()
        .map(|refusal| refusal.property.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "hooks.prestart",
            "linux.resources.cpu.quota",
            "linux.resources.cpu.shares",
            "linux.seccomp"
        ]
    );
}

#[test]
fn what_the_specification_does_not_have_is_noted() {
    let findings = judged(json!({ "linux": { "novelty": 1 }, "x-mine": {} }));
    assert_eq!(findings.refusals, []);
    assert_eq!(findings.notes.len(), 2);
}

#[test]
fn what_a_later_version_may_have_is_refused() {
    let findings = judged(json!({ "ociVersion": "1.99.0", "linux": { "novelty": 1 } }));
    assert_eq!(findings.refusals[0].property, "linux.novelty");
}

#[test]
fn a_property_in_other_case_is_refused_because_others_would_take_it() {
    for path in ["linux.Seccomp", "Linux", "hooks.preStart"] {
        let findings = judged(document(path, json!(1)));
        assert_eq!(findings.refusals[0].property, path);
    }
}

#[test]
fn versions_are_1_of_any_kind() {
    let version = |text: &str| judge(&json!({ "ociVersion": text })).map(drop);
    for text in ["1.0.0", "1.2.1", "1.0.2-dev", "1.1.0+dev", "1.0.0-rc5"] {
        assert!(version(text).is_ok(), "{text}");
    }
    for text in [
        "", "1", "1.0", "2.0.0", "0.9.0", "1.0.0.0", "1.x.0", "v1.0.0", "-1.0.0",
    ] {
        assert!(version(text).is_err(), "{text}");
    }
    assert!(judge(&json!({})).is_err());
    assert!(judge(&json!({ "ociVersion": 1 })).is_err());
    assert!(judge(&json!([])).is_err());
}

#[test]
fn the_documentation_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/containers.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains(&markdown()),
        "docs/containers.md does not have this table:\n{}",
        markdown()
    );
}
