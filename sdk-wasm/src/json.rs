//! A writer of JSON objects, without formatting machinery: it has to be small.

use tickwire_proto::Scale;
use tickwire_proto::decimal::push_decimal;

/// An object that is being written. Absent values are left out.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Writes one object to the end of `out`.
    pub(crate) fn write(out: &'a mut String, body: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        let mut object = Object { out, empty: true };
        body(&mut object);
        object.out.push('}');
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_text(self.out, value);
    }

    /// Leaves out an empty text.
    pub(crate) fn text_if_any(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// A number that JavaScript holds exactly: below 2^53.
    pub(crate) fn number(&mut self, key: &str, value: impl Into<Option<u64>>) {
        if let Some(value) = value.into() {
            self.key(key);
            push_number(self.out, value);
        }
    }

    /// A number of any size, as text.
    pub(crate) fn exact(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.key(key);
            self.out.push('"');
            push_number(self.out, value);
            self.out.push('"');
        }
    }

    pub(crate) fn decimal(&mut self, key: &str, value: Option<i64>, scale: Scale) {
        if let Some(value) = value {
            self.key(key);
            self.out.push('"');
            push_decimal(self.out, value, scale);
            self.out.push('"');
        }
    }

    pub(crate) fn flag(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.key(key);
            self.out.push_str(if value { "true" } else { "false" });
        }
    }

    pub(crate) fn object(&mut self, key: &str, body: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        Object::write(self.out, body);
    }

    /// An array with one object for each of `items`.
    pub(crate) fn objects<T>(&mut self, key: &str, items: &[T], body: impl Fn(&mut Object<'_>, &T)) {
        self.key(key);
        push_objects(self.out, items, body);
    }

    pub(crate) fn numbers(&mut self, key: &str, items: &[u32]) {
        self.key(key);
        push_array(self.out, items, |out, item| push_number(out, u64::from(*item)));
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        push_text(self.out, key);
        self.out.push(':');
    }
}

/// Appends an array with one object for each of `items`.
pub(crate) fn push_objects<T>(out: &mut String, items: &[T], body: impl Fn(&mut Object<'_>, &T)) {
    push_array(out, items, |out, item| Object::write(out, |object| body(object, item)));
}

fn push_array<T>(out: &mut String, items: &[T], each: impl Fn(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

fn push_number(out: &mut String, value: u64) {
    // A mantissa without decimal places: no second routine for digits.
    if value <= i64::MAX as u64 {
        push_decimal(out, value as i64, Scale::default());
    } else {
        push_number(out, value / 10);
        push_number(out, value % 10);
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                out.push_str("\\u00");
                for nibble in [control as u32 >> 4, control as u32 & 15] {
                    out.push(char::from_digit(nibble, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_a_parser_reads_back() {
        let mut out = String::new();
        Object::write(&mut out, |o| {
            o.text("a\"b", "line\n\\ \u{1f} é");
            o.number("seq", 9_007_199_254_740_991);
            o.exact("trades", Some(u64::MAX));
            o.exact("absent", None);
            o.decimal("bid", Some(-5), Scale::new(2).expect("two places are fine"));
            o.flag("final", Some(false));
            o.numbers("conditions", &[1, 20]);
            o.objects("outcomes", &[1_u64, 2], |o, id| o.number("id", *id));
        });
        assert_eq!(
            out,
            concat!(
                r#"{"a\"b":"line\u000a\\ \u001f é","seq":9007199254740991,"trades":"18446744073709551615","bid":"-0.05","#,
                r#""final":false,"conditions":[1,20],"outcomes":[{"id":1},{"id":2}]}"#
            )
        );
    }
}
