//! Batch sampling.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Shuffled sampler without replacement, reshuffled every epoch. Its state is the seed,
/// the epoch and the position, so a resumed run draws the same batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampler {
    /// Number of training examples.
    pub examples: usize,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Random seed.
    pub seed: u64,
    /// Current epoch, counted from 0.
    pub epoch: u64,
    /// Batches of this epoch that are done.
    pub position: usize,
    /// Permutation of this epoch, computed on demand.
    #[serde(skip)]
    order: Vec<usize>,
}

/// Indices of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchIndices {
    /// Indices of the examples.
    pub indices: Vec<usize>,
    /// Seed of the batch's augmentation.
    pub seed: u64,
}

impl Sampler {
    /// `batch_size` is capped at the number of examples.
    pub fn new(examples: usize, batch_size: usize, seed: u64) -> Self {
        Self {
            examples,
            batch_size: batch_size.clamp(1, examples.max(1)),
            seed,
            epoch: 0,
            position: 0,
            order: Vec::new(),
        }
    }

    /// An incomplete last batch is dropped.
    pub fn batches_per_epoch(&self) -> usize {
        self.examples / self.batch_size.max(1)
    }

    /// The next batch; empty if there are no examples.
    pub fn draw(&mut self) -> BatchIndices {
        if self.position >= self.batches_per_epoch() {
            self.epoch += 1;
            self.position = 0;
            self.order.clear();
        }
        if self.order.len() != self.examples {
            let mut rng = self.rng(0);
            self.order = (0..self.examples).collect();
            self.order.shuffle(&mut rng);
        }
        let start = self.position * self.batch_size;
        let indices = (self.order.iter().skip(start).take(self.batch_size))
            .copied()
            .collect();
        self.position += 1;
        let seed = self.rng(self.position as u64).random();
        BatchIndices { indices, seed }
    }

    /// Generator for each epoch and position.
    fn rng(&self, place: u64) -> StdRng {
        let mut seed = [0; 32];
        let parts = [self.seed, self.epoch, place].map(u64::to_le_bytes);
        seed[..24].copy_from_slice(parts.as_flattened());
        StdRng::from_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_example_once_in_an_order_of_its_own() {
        let mut sampler = Sampler::new(12, 4, 5);
        let mut epoch = || -> Vec<usize> { (0..3).flat_map(|_| sampler.draw().indices).collect() };
        let (first, second) = (epoch(), epoch());
        assert_ne!(first, second);
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (0..12).collect::<Vec<_>>());
        }
    }

    #[test]
    fn it_goes_on_where_it_was_stopped() {
        let mut sampler = Sampler::new(10, 3, 1);
        (0..4).for_each(|_| drop(sampler.draw()));
        let kept = serde_json::to_string(&sampler).unwrap();
        let mut again: Sampler = serde_json::from_str(&kept).unwrap();
        (0..9).for_each(|_| assert_eq!(sampler.draw(), again.draw()));
    }

    #[test]
    fn a_batch_is_never_larger_than_the_data() {
        assert_eq!(Sampler::new(3, 8, 0).draw().indices.len(), 3);
        assert!(Sampler::new(0, 8, 0).draw().indices.is_empty());
    }
}
