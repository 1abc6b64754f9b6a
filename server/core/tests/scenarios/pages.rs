//! Lists of instruments: a page costs no more than it may, however many instruments there are.

use tickwire_core::engine::PAGE_VISITS_MAX;
use tickwire_core::{Entry, InstrumentId};
use tickwire_proto::{Symbol, v1};

use super::world::{World, config};

#[test]
fn a_page_of_instruments_looks_at_no_more_than_it_may() {
    // 25,000 instruments, of which only the last two fit.
    let mut world = World::new(config());
    for n in 1..=25_000_u32 {
        let symbol = if n > 24_998 { format!("rare.S{n}") } else { format!("stock.S{n}") };
        world.batch.entries.push(Entry::Instrument(v1::InstrumentInfo { symbol, id: n, ..Default::default() }));
    }
    world.flush();
    let (mut pages, mut after, mut found) = (0, Some(InstrumentId(0)), Vec::new());
    while let Some(id) = after {
        let mut looks = 0;
        let mut fits = |symbol: &Symbol| {
            looks += 1;
            symbol.as_str().starts_with("rare.")
        };
        let (page, next) = world.engine.page(id, 100, &mut fits);
        assert!(looks <= PAGE_VISITS_MAX, "{looks} looks");
        found.extend(page.into_iter().map(|info| info.id));
        (pages, after) = (pages + 1, next);
    }
    assert_eq!((pages, found), (3, vec![24_999, 25_000]));

    let all = |after: u32, limit: usize| {
        let (page, next) = world.engine.page(InstrumentId(after), limit, &mut |_| true);
        (page.iter().map(|info| info.id).collect::<Vec<_>>(), next)
    };
    assert_eq!(all(24_996, 2), (vec![24_997, 24_998], Some(InstrumentId(24_998))));
    assert_eq!(all(24_998, 2), (vec![24_999, 25_000], None), "nothing is behind the last");
    assert_eq!(all(99_999, 2), (vec![], None));
    assert_eq!(all(0, 0), (vec![], Some(InstrumentId(0))));
}
