//! Whatever scales come and go, the book says what the feed said: random feeds against a model that knows no scales.

use proptest::prelude::*;
use tickwire_proto::image::Image;

use super::*;

/// What a feed says.
#[derive(Clone, Debug)]
enum Say {
    /// A price or quantity, by its place in [`FIELDS`], with these decimal places.
    Value { field: usize, mantissa: i64, places: u32 },
    /// Two values in one update, of which one may be too precise.
    Pair { mantissa: i64, places: u32 },
    /// The field is unknown now.
    Clear { field: usize },
    /// New scales.
    Scales { price: u32, quantity: u32 },
}

/// Value of each field in units of 10^-12, if it is known, and the announced scales.
#[derive(Default)]
struct Model {
    values: [Option<i128>; 3],
    announced: Option<[u32; 2]>,
}

proptest! {
    #[test]
    fn the_book_says_what_the_feed_said(said in proptest::collection::vec(say(), 1..40)) {
        let mut intake = Intake::new(config());
        let (mut model, mut image, mut scales) = (Model::default(), Image::default(), [0, 0]);
        for (seq, say) in (1..).zip(&said) {
            let mut batch = Batch::default();
            let (body, taken) = model.play(say);
            let message = Message { seq, routing_key: "stock.A", content_type: None, body: body.as_bytes() };
            let receipt = intake.take(message, &mut batch);
            prop_assert_eq!(receipt.poison.is_empty(), taken, "{}: {:?}", body, receipt.poison);
            for entry in batch.entries {
                match entry {
                    Entry::Instrument(info) => scales = [info.price_scale, info.quantity_scale],
                    Entry::Update(update) => drop(image.apply(&update)),
                    _ => {}
                }
            }
            let quote = image.quote.unwrap_or_default();
            let book = [quote.bid, quote.ask, quote.volume];
            let values: Vec<_> = book.iter().enumerate().map(|(field, value)| value.map(|value| fine(value, scales[field / 2]))).collect();
            prop_assert_eq!(&values[..], &model.values[..], "after {} of {:?}", seq, said);
        }
    }
}

impl Model {
    /// The message, and whether it has to be taken.
    fn play(&mut self, say: &Say) -> (String, bool) {
        match *say {
            Say::Value { field, mantissa, places } => {
                let taken = self.set(&[field], mantissa, places);
                (format!(r#"{{"quote":{{"{}":"{mantissa}e-{places}"}}}}"#, FIELDS[field]), taken)
            }
            Say::Pair { mantissa, places } => {
                let taken = self.set(&[0, 2], mantissa, places);
                (format!(r#"{{"quote":{{"bid":{mantissa}e-{places},"volume":"{mantissa}e-{places}"}}}}"#), taken)
            }
            Say::Clear { field } => {
                self.values[field] = None;
                (format!(r#"{{"quote":{{"{}":null}}}}"#, FIELDS[field]), true)
            }
            Say::Scales { price, quantity } => {
                if (price, quantity) != (0, 0) {
                    self.announced = Some([price, quantity]);
                    for (field, value) in self.values.iter_mut().enumerate() {
                        let places = [price, quantity][field / 2];
                        *value = value.filter(|value| value % 10_i128.pow(12 - places) == 0);
                    }
                }
                (format!(r#"{{"info":{{"price_scale":{price},"quantity_scale":{quantity}}}}}"#), true)
            }
        }
    }

    /// Sets `fields`, all or none.
    fn set(&mut self, fields: &[usize], mantissa: i64, places: u32) -> bool {
        let value = fine(mantissa, places);
        let fits = |field: &usize| self.announced.is_none_or(|scales| value % 10_i128.pow(12 - scales[field / 2]) == 0);
        let taken = fields.iter().all(fits);
        if taken {
            fields.iter().for_each(|field| self.values[*field] = Some(value));
        }
        taken
    }
}

fn fine(mantissa: i64, places: u32) -> i128 {
    i128::from(mantissa) * 10_i128.pow(12 - places)
}

fn say() -> impl Strategy<Value = Say> {
    // Small enough to fit at 6 places, so that the model needs no overflow.
    let mantissa = || 0_i64..100_000;
    prop_oneof![
        4 => (0..3_usize, mantissa(), 0..6_u32).prop_map(|(field, mantissa, places)| Say::Value { field, mantissa, places }),
        1 => (mantissa(), 0..6_u32).prop_map(|(mantissa, places)| Say::Pair { mantissa, places }),
        1 => (0..3_usize).prop_map(|field| Say::Clear { field }),
        1 => (0..6_u32, 0..6_u32).prop_map(|(price, quantity)| Say::Scales { price, quantity }),
    ]
}

/// Prices first: `field / 2` is 0 for a price and 1 for a quantity.
const FIELDS: [&str; 3] = ["bid", "ask", "volume"];
