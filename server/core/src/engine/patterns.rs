//! Which connections wait for an instrument that has just appeared: all patterns of a shard in one tree of words.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use tickwire_proto::{Pattern, Symbol};

/// Patterns by their words, and who has them. Bounded by [`PATTERNS_MAX`](super::connection::PATTERNS_MAX) for each connection, with at
/// most a node for each word.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The first one is the root.
    nodes: Vec<Node>,
    free: Vec<u32>,
}

/// The beginning of some patterns.
#[derive(Debug, Default)]
struct Node {
    /// What may come next; `*` and `#` are keys like words, since no symbol has such a word.
    next: BTreeMap<Box<str>, u32>,
    /// Its last word is `#`: it goes on standing for whatever comes.
    open: bool,
    /// Slots of those whose pattern ends here.
    holders: BTreeSet<u32>,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl Patterns {
    /// Adds a pattern of `slot`; one that it has already changes nothing.
    pub(super) fn insert(&mut self, pattern: &Pattern, slot: u32) {
        let mut at = ROOT;
        for word in pattern.words() {
            at = match self.nodes[at as usize].next.get(word) {
                Some(next) => *next,
                None => {
                    let node = self.add(Node { open: word == "#", ..Node::default() });
                    self.nodes[at as usize].next.insert(word.into(), node);
                    node
                }
            };
        }
        self.nodes[at as usize].holders.insert(slot);
    }

    /// Removes a pattern of `slot`, and the words that nobody needs any more.
    pub(super) fn remove(&mut self, pattern: &Pattern, slot: u32) {
        let mut path = vec![ROOT];
        for word in pattern.words() {
            let Some(next) = path.last().and_then(|at| self.nodes[*at as usize].next.get(word)) else { return };
            path.push(*next);
        }
        let Some(end) = path.last() else { return };
        self.nodes[*end as usize].holders.remove(&slot);
        for (word, edge) in pattern.words().rev().zip(path.windows(2).rev()) {
            let node = &self.nodes[edge[1] as usize];
            if !node.next.is_empty() || !node.holders.is_empty() {
                return;
            }
            self.nodes[edge[0] as usize].next.remove(word);
            self.free.push(edge[1]);
        }
    }

    /// The slots with a pattern that names `symbol`, each once, in order. Costs a step for each word of the symbol and each way in which
    /// patterns begin like it, however many other patterns there are.
    pub(super) fn matching(&self, symbol: &Symbol) -> Vec<u32> {
        self.search(symbol, &mut |_| {})
    }

    /// The same; `looks` is told how many nodes are looked at for each word.
    fn search(&self, symbol: &Symbol, looks: &mut impl FnMut(usize)) -> Vec<u32> {
        let mut reached = vec![ROOT];
        self.skip_empty(&mut reached);
        for word in symbol.words() {
            let mut next = Vec::new();
            looks(reached.len());
            for at in reached {
                let node = &self.nodes[at as usize];
                next.extend([word, "*"].iter().filter_map(|word| node.next.get(*word)));
                next.extend(Some(at).filter(|_| node.open));
            }
            self.skip_empty(&mut next);
            reached = next;
        }
        let holders: BTreeSet<u32> = reached.iter().flat_map(|at| &self.nodes[*at as usize].holders).copied().collect();
        holders.into_iter().collect()
    }

    /// Adds what is reached without a word: `#` may stand for none. Leaves each node once, so that no pattern makes the search explode.
    fn skip_empty(&self, reached: &mut Vec<u32>) {
        let mut n = 0;
        while let Some(at) = reached.get(n) {
            reached.extend(self.nodes[*at as usize].next.get("#").copied());
            n += 1;
        }
        reached.sort_unstable();
        reached.dedup();
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(index) = self.free.pop() {
            self.nodes[index as usize] = node;
            return index;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tree_finds_what_trying_each_pattern_finds(
            steps in prop::collection::vec(("[ab*#](\\.[ab*#]){0,7}", 0_u32..4, any::<bool>()), 0..40),
            symbols in prop::collection::vec("[ab](\\.[ab]){0,7}", 1..8),
        ) {
            let mut tree = Patterns::default();
            let mut held: BTreeSet<(Pattern, u32)> = BTreeSet::new();
            for (text, slot, adds) in steps {
                let pattern = Pattern::parse(&text).unwrap();
                if adds {
                    tree.insert(&pattern, slot);
                    held.insert((pattern, slot));
                } else if let Some(gone) = held.iter().nth(text.len() % held.len().max(1)).cloned() {
                    tree.remove(&gone.0, gone.1);
                    held.remove(&gone);
                }
            }
            for symbol in symbols {
                let symbol = Symbol::parse(&symbol).unwrap();
                let expected: BTreeSet<u32> = held.iter().filter(|(pattern, _)| pattern.matches(&symbol)).map(|(_, slot)| *slot).collect();
                prop_assert_eq!(tree.matching(&symbol), expected.into_iter().collect::<Vec<_>>(), "{}", symbol);
            }
            for (pattern, slot) in &held {
                tree.remove(pattern, *slot);
            }
            prop_assert_eq!(tree.nodes.len() - tree.free.len(), 1, "only the root is left");
        }
    }

    #[test]
    fn the_search_grows_with_the_words_of_the_symbol_and_not_with_the_patterns() {
        let looks = |tree: &Patterns, symbol: &str| {
            let mut total = 0;
            tree.search(&Symbol::parse(symbol).unwrap(), &mut |nodes| total += nodes);
            total
        };
        let mut tree = Patterns::default();
        let mut counts = Vec::new();
        for size in [10_u32, 100, 1_000, 10_000] {
            for n in 0..size {
                for text in [format!("stock.S{n}"), format!("soccer.l{n}.*"), format!("fx.p{n}.#"), format!("a.b.c.d.e.f.g.h{n}")] {
                    tree.insert(&Pattern::parse(&text).unwrap(), n);
                }
            }
            counts.push(
                ["stock.S7", "soccer.l3.x", "fx.p5.a.b.c.d.e.f", "a.b.c.d.e.f.g.h9", "none.of.these"].map(|symbol| looks(&tree, symbol)),
            );
        }
        assert_eq!(counts[0], [2, 3, 9, 8, 1], "a node for each word that is known, and one for a `#`");
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        // Wildcards at the front give each word two ways on, and no more: as many as there are beginnings of patterns like it.
        for words in 1..=8 {
            tree.insert(&Pattern::parse(&["*"; 8][..words].join(".")).unwrap(), words as u32);
        }
        assert_eq!(looks(&tree, "a.b.c.d.e.f.g.h9"), 1 + 2 * 7);
    }

    #[test]
    fn a_pattern_of_wildcards_alone_costs_no_more_than_others() {
        let mut tree = Patterns::default();
        for words in 1..=8 {
            tree.insert(&Pattern::parse(&["#"; 8][..words].join(".")).unwrap(), words as u32);
            tree.insert(&Pattern::parse(&["*"; 8][..words].join(".")).unwrap(), 8 + words as u32);
        }
        let found = tree.matching(&Symbol::parse("a.b.c.d.e.f.g.h").unwrap());
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8, 16]);
    }
}
