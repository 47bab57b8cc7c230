//! One that keeps shares and does its part of every product.

use std::collections::HashMap;
use std::ops::Range;

use half::f16;

use super::super::gemm;
use super::super::laid::Laid;
use super::Window;
use super::order::{Kind, Members, Order, Then, Word};

/// What a hand has, and what it is called.
pub struct Hand {
    number: usize,
    members: Members,
    kept: HashMap<u32, Kept>,
}

/// Its part of a packed matrix.
struct Kept {
    /// Of the whole matrix.
    all_columns: usize,
    columns: Range<usize>,
    /// Everybody has all of it.
    whole: bool,
    values: Values,
}

enum Values {
    /// Those words that have come so far, and how many there will be.
    Coming(Vec<f32>, usize),
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int8(Vec<[i8; 2]>),
}

impl Hand {
    /// Number `number`, from 0, of as many hands as there are `members` less the boss.
    pub fn new(number: usize, members: usize) -> Self {
        Self {
            number,
            members: Members(members),
            kept: HashMap::new(),
        }
    }

    /// Does what it is told; the result lies in the window.
    pub fn obey(&mut self, order: &str, window: &dyn Window) -> Result<(), String> {
        match serde_json::from_str(order).map_err(|error| error.to_string())? {
            Order::Keep {
                matrix,
                shape: [depth, columns],
                kind,
                whole,
                words,
            } => {
                let mine = self.members.keeps(columns, whole, self.number);
                let place = if whole { 0 } else { self.number * words.len() };
                let kept = self.kept.entry(matrix).or_insert_with(|| {
                    let total = Members::numbers(depth, &mine).len() / kind.in_a_word();
                    Kept {
                        all_columns: columns,
                        columns: mine,
                        whole,
                        values: Values::Coming(Vec::with_capacity(total), total),
                    }
                });
                kept.take(words, place, kind, window)?;
            }
            Order::Forget { matrix } => {
                self.kept.remove(&matrix);
            }
            Order::Linear {
                matrix,
                shape: [rows, depth],
                then,
            } => {
                let kept = self.find(matrix)?;
                let mine = self.mine(kept, 0..rows);
                let x = read(window, mine.start * depth..mine.end * depth);
                let [scale, bias] = kept.follows(then, rows * depth, window);
                let finish = then.finish(scale.as_deref(), bias.as_deref());
                let shape = [depth, kept.columns.len()];
                let result = kept.laid()?.linear(&x, shape, &finish);
                window.write_result(self.number, &result);
            }
            Order::Conv {
                matrix,
                places,
                lines,
                then,
            } => {
                let kept = self.find(matrix)?;
                let mine = self.mine(kept, lines.clone());
                let (all, read_by_me) = (places.reads(&lines), places.reads(&mine));
                let place = |line: usize| (line - all.start) * places.line();
                let picture = read(window, place(read_by_me.start)..place(read_by_me.end));
                let [scale, bias] = kept.follows(then, place(all.end), window);
                let finish = then.finish(scale.as_deref(), bias.as_deref());
                let columns = kept.columns.len();
                let result = (kept.laid()?).conv(&picture, places, mine, columns, &finish);
                window.write_result(self.number, &result);
            }
        }
        Ok(())
    }

    fn find(&self, matrix: u32) -> Result<&Kept, String> {
        let unknown = || format!("matrix {matrix} was never laid out");
        self.kept.get(&matrix).ok_or_else(unknown)
    }

    /// Its part of rows or lines.
    fn mine(&self, kept: &Kept, all: Range<usize>) -> Range<usize> {
        match kept.whole {
            true => {
                let part = self.members.part(all.len(), self.number);
                all.start + part.start..all.start + part.end
            }
            false => all,
        }
    }
}

impl Kept {
    /// The next `words`, which lie in the window from `place` on.
    fn take(
        &mut self,
        words: Range<usize>,
        place: usize,
        kind: Kind,
        window: &dyn Window,
    ) -> Result<(), String> {
        let Values::Coming(values, total) = &mut self.values else {
            // Its part is smaller than another's.
            return Ok(());
        };
        let (before, total) = (values.len(), *total);
        if before != words.start.min(total) {
            return Err("part of the matrix is missing".into());
        }
        values.resize(words.end.min(total), 0.0);
        window.read(place, &mut values[before..]);
        if values.len() == total {
            let values = std::mem::take(values);
            self.values = match kind {
                Kind::F32 => Values::F32(values),
                Kind::F16 => Values::F16(Word::from_words(values)),
                Kind::Int8 => Values::Int8(Word::from_words(values)),
            };
        }
        Ok(())
    }

    fn laid(&self) -> Result<Laid<'_>, String> {
        Ok(match &self.values {
            Values::Coming(..) => return Err("part of the matrix is missing".into()),
            Values::F32(values) => Laid::Exact(gemm::Values::F32(values)),
            Values::F16(values) => Laid::Exact(gemm::Values::F16(values)),
            Values::Int8(values) => Laid::Int8(values),
        })
    }

    /// Scale and bias of its columns, which lie in the window from `place` on.
    fn follows(&self, then: Then, place: usize, window: &dyn Window) -> [Option<Vec<f32>>; 2] {
        let mut place = place + self.columns.start;
        [then.scale, then.bias].map(|there| {
            there.then(|| {
                let values = read(window, place..place + self.columns.len());
                place += self.all_columns;
                values
            })
        })
    }
}

fn read(window: &dyn Window, places: Range<usize>) -> Vec<f32> {
    let mut numbers = vec![0.0; places.len()];
    window.read(places.start, &mut numbers);
    numbers
}
