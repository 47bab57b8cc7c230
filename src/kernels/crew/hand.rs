//! One that keeps shares and does its part of every product.

use std::collections::HashMap;
use std::ops::Range;

use half::f16;

use super::super::gemm;
use super::super::int8;
use super::super::laid::{Laid, panels};
use super::Window;
use super::order::{Members, Order, Then};

/// What a hand has, and what it is called.
pub struct Hand {
    number: usize,
    members: Members,
    kept: HashMap<u32, Kept>,
}

/// Its part of a matrix.
struct Kept {
    depth: usize,
    /// Of the whole matrix.
    all_columns: usize,
    columns: Range<usize>,
    /// Everybody has all of it.
    whole: bool,
    values: Values,
}

enum Values {
    /// Those rows that have come so far.
    Coming(Vec<f32>),
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
                rows,
                whole,
                f16,
                int8,
            } => {
                let mine = match whole {
                    true => 0..columns,
                    false => self.members.columns(columns, self.number),
                };
                let kept = self.kept.entry(matrix).or_insert_with(|| Kept {
                    depth,
                    all_columns: columns,
                    values: Values::Coming(Vec::with_capacity(depth * mine.len())),
                    columns: mine,
                    whole,
                });
                kept.take(rows.len(), window)?;
                if rows.end == depth {
                    kept.pack(f16, int8)?;
                }
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
                let shape = [kept.depth, kept.columns.len()];
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
    /// Its columns of the next `rows` rows.
    fn take(&mut self, rows: usize, window: &dyn Window) -> Result<(), String> {
        let Values::Coming(values) = &mut self.values else {
            return Err("more rows than the matrix has".into());
        };
        let (before, width) = (values.len(), self.columns.len());
        values.resize(before + rows * width, 0.0);
        let to = &mut values[before..];
        if width == self.all_columns {
            window.read(0, to);
        } else if width > 0 {
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                window.read(row * self.all_columns + self.columns.start, to);
            }
        }
        Ok(())
    }

    fn pack(&mut self, f16: bool, int8: bool) -> Result<(), String> {
        let Values::Coming(values) = &self.values else {
            return Err("the matrix is there already".into());
        };
        let (depth, columns) = (self.depth, self.columns.len());
        if values.len() != depth * columns {
            return Err("some rows of the matrix are missing".into());
        }
        self.values = if int8 && columns > 0 {
            // The scales come with every product.
            let (pairs, _) = int8::weights(values, columns);
            Values::Int8(panels(&pairs, [depth / 2, columns], columns))
        } else if f16 {
            let values: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
            Values::F16(panels(&values, [depth, columns], columns))
        } else {
            Values::F32(panels(values, [depth, columns], columns))
        };
        Ok(())
    }

    fn laid(&self) -> Result<Laid<'_>, String> {
        Ok(match &self.values {
            Values::Coming(_) => return Err("some rows of the matrix are missing".into()),
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
