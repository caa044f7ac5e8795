// SPDX-License-Identifier: BSD-2-Clause
//! What properties the types of the specification have (`oci-spec`), whatever this crate makes of them: asked of their
//! own decoders, which say the names of the fields that they look for.

use oci_spec::runtime::Spec;
use serde::de::value::Error;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A document that has one property, and is asked what is below that.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// The way to the property from here.
    way: &'a [String],
    /// The fields that are looked for there.
    fields: &'a RefCell<Vec<String>>,
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing below that"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.way.split_first() {
            Some((first, way)) if first == "[]" => visitor.visit_seq(Self { way, ..self }),
            Some(_) => Err(Error::custom("a list has no fields")),
            None => {
                self.fields.borrow_mut().push("[]".into());
                Err(Error::custom("that was the question"))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !self.way.is_empty() {
            return visitor.visit_map(self);
        }
        let fields = fields.iter().map(|field| (*field).to_owned());
        self.fields.borrow_mut().extend(fields);
        Err(Error::custom("that was the question"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Asked<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let name = self.way.first().map(String::as_str).unwrap_or_default();
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let way = &self.way[1..];
        seed.deserialize(Self { way, ..*self })
    }
}

impl<'de> SeqAccess<'de> for Asked<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        seed.deserialize(*self).map(Some)
    }
}

/// Every property, as the table writes them.
pub fn properties() -> BTreeSet<String> {
    let mut properties = BTreeSet::new();
    let mut ways: Vec<Vec<String>> = vec![vec![]];
    while let Some(way) = ways.pop() {
        let fields = RefCell::new(Vec::new());
        let asked = Asked {
            way: &way,
            fields: &fields,
        };
        Spec::deserialize(asked).expect_err("nothing has all that it needs");
        for field in fields.into_inner() {
            let longer = [&way[..], &[field]].concat();
            properties.insert(longer.join(".").replace(".[]", "[]"));
            ways.push(longer);
        }
    }
    properties
}
