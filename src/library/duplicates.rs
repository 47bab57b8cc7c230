//! Duplicates in an index, by three measures that are kept apart: equal files, images that
//! look the same, and images that are merely similar.

use std::collections::{BTreeMap, HashMap};

use half::slice::HalfFloatSliceExt;
use serde::Serialize;

use super::Index;
use super::similarities::{Rows, similarities};
use crate::kernels::math::dot;

/// Images that belong together, the one to keep first: the most pixels, then the largest
/// file, then the oldest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Indices of the entries.
    pub entries: Vec<usize>,
}

impl Group {
    /// Paths of the images, that of the one to keep first.
    pub fn paths(&self, index: &Index) -> Vec<String> {
        (self.entries.iter())
            .map(|entry| index.entries()[*entry].file.path.clone())
            .collect()
    }
}

/// Groups of two or more images; an image is in at most one group of each kind. Of equal
/// files only the first is in the other kinds, and of images that look the same only the
/// first is among the similar ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// The same bytes.
    pub identical: Vec<Group>,
    /// The same image resized, recompressed or slightly changed.
    pub near_identical: Vec<Group>,
    /// Features at most so far apart.
    pub similar: Vec<Group>,
}

/// Bits by which difference hashes of one image may differ.
const MAX_BITS: u32 = 4;
/// Images whose hashes are near must be so similar, too: hashes of plain images are alike.
const MIN_SIMILARITY: f32 = 0.9;

/// Finds duplicates. `similar` is the least cosine similarity of merely similar images.
pub fn duplicates(index: &Index, similar: f32) -> Duplicates {
    let all: Vec<usize> = (0..index.entries().len()).collect();
    let identical = groups(index, &all, |sets| {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for &entry in &all {
            let hash = index.entries()[entry].image.sha256.as_str();
            sets.join(*first.entry(hash).or_insert(entry), entry);
        }
    });
    let distinct = without_copies(&all, &identical);
    let near_identical = groups(index, &distinct, |sets| join_near(index, &distinct, sets));
    let distinct = without_copies(&distinct, &near_identical);
    let similar = similar_groups(index, &distinct, similar);
    Duplicates {
        identical,
        near_identical,
        similar,
    }
}

/// Groups with the entry to keep first, the largest group first.
fn groups(index: &Index, entries: &[usize], join: impl FnOnce(&mut DisjointSets)) -> Vec<Group> {
    let mut sets = DisjointSets::new(index.entries().len());
    join(&mut sets);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &entry in entries {
        members.entry(sets.find(entry)).or_default().push(entry);
    }
    let groups = (members.into_values()).filter(|entries| entries.len() > 1);
    in_order(index, groups.collect())
}

fn in_order(index: &Index, mut groups: Vec<Vec<usize>>) -> Vec<Group> {
    for entries in &mut groups {
        entries.sort_by_key(|&entry| {
            let found = &index.entries()[entry];
            let pixels = u64::from(found.image.width) * u64::from(found.image.height);
            let (pixels, size) = (
                std::cmp::Reverse(pixels),
                std::cmp::Reverse(found.file.size),
            );
            (pixels, size, found.file.modified_ms, entry)
        });
    }
    groups.sort_by_key(|entries| (std::cmp::Reverse(entries.len()), entries[0]));
    (groups.into_iter())
        .map(|entries| Group { entries })
        .collect()
}

/// `entries` without all but the first of each group.
fn without_copies(entries: &[usize], groups: &[Group]) -> Vec<usize> {
    let copies: std::collections::HashSet<usize> = (groups.iter())
        .flat_map(|group| group.entries[1..].iter().copied())
        .collect();
    (entries.iter().copied())
        .filter(|entry| !copies.contains(entry))
        .collect()
}

/// Joins images whose hashes differ by at most [`MAX_BITS`]. Such hashes agree in one of
/// `MAX_BITS + 1` parts, so only images that share a part are compared.
fn join_near(index: &Index, entries: &[usize], sets: &mut DisjointSets) {
    const PARTS: u32 = MAX_BITS + 1;
    for part in 0..PARTS {
        let (start, end) = (part * 64 / PARTS, (part + 1) * 64 / PARTS);
        let mask = u64::MAX >> (64 - (end - start)) << start;
        let mut buckets: HashMap<u64, Vec<usize>> = HashMap::new();
        for &entry in entries {
            let hash = index.entries()[entry].image.difference_hash;
            buckets.entry(hash & mask).or_default().push(entry);
        }
        for bucket in buckets.values().filter(|bucket| bucket.len() > 1) {
            for (i, &a) in bucket.iter().enumerate() {
                for &b in &bucket[i + 1..] {
                    let [first, second] =
                        [a, b].map(|entry| index.entries()[entry].image.difference_hash);
                    if (first ^ second).count_ones() <= MAX_BITS
                        && sets.find(a) != sets.find(b)
                        && cosine(index, a, b) >= MIN_SIMILARITY
                    {
                        sets.join(a, b);
                    }
                }
            }
        }
    }
}

fn cosine(index: &Index, a: usize, b: usize) -> f32 {
    dot(&index.features_of(a), &index.features_of(b))
}

/// Images compared with all others in one matrix product.
const BLOCK: usize = 128;

/// Each group is an image with all that are similar to it and in no group yet. Joining
/// similar images of similar images instead would end in one group of everything.
fn similar_groups(index: &Index, entries: &[usize], similar: f32) -> Vec<Group> {
    let dim = index.model().embed_dim();
    let rows = index.rows_of(entries);
    let mut grouped = vec![false; entries.len()];
    let mut groups = Vec::new();
    for start in (0..entries.len()).step_by(BLOCK) {
        let count = BLOCK.min(entries.len() - start);
        // Only images from here on: earlier ones have chosen theirs.
        let rest = &rows[start * dim..];
        let block: Vec<Vec<f32>> = (rest.chunks_exact(dim).take(count))
            .map(HalfFloatSliceExt::to_f32_vec)
            .collect();
        let similarities = similarities(Rows::F16(rest), &block);
        for column in 0..count {
            if grouped[start + column] {
                continue;
            }
            let mut members = vec![start + column];
            for other in column + 1..rest.len() / dim.max(1) {
                if similarities[other * count + column] >= similar && !grouped[start + other] {
                    members.push(start + other);
                }
            }
            if members.len() > 1 {
                members.iter().for_each(|member| grouped[*member] = true);
                groups.push(members.into_iter().map(|member| entries[member]).collect());
            }
        }
    }
    in_order(index, groups)
}

/// Union-find with path halving.
struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, mut item: usize) -> usize {
        while self.0[item] != item {
            self.0[item] = self.0[self.0[item]];
            item = self.0[item];
        }
        item
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::{entry, fingerprint};
    use super::super::{Entry, Index};
    use super::*;

    fn image(path: &str, degrees: f32, change: impl FnOnce(&mut Entry)) -> (Entry, Vec<f32>) {
        let mut entry = entry(path);
        change(&mut entry);
        let (sin, cos) = degrees.to_radians().sin_cos();
        (entry, vec![cos, sin])
    }

    fn index(images: Vec<(Entry, Vec<f32>)>) -> Index {
        let mut index = Index::new("photos", fingerprint());
        index.extend(images, Vec::new());
        index
    }

    fn paths(index: &Index, groups: &[Group]) -> Vec<Vec<String>> {
        groups.iter().map(|group| group.paths(index)).collect()
    }

    #[test]
    fn the_three_kinds_are_kept_apart() {
        let hash = |hash: u64| move |entry: &mut Entry| entry.image.difference_hash = hash;
        let index = index(vec![
            image("a.jpg", 0.0, hash(0xFFFF_0000_1234_5678)),
            image("a copy.jpg", 0.0, |entry| {
                entry.image.difference_hash = 0xFFFF_0000_1234_5678;
                entry.image.sha256 = crate::library::file_hash(b"a.jpg");
            }),
            image("a small.jpg", 2.0, |entry| {
                // Four bits away.
                entry.image.difference_hash = 0xFFFF_0000_1234_5678 ^ 0x8000_0100_0010_0001;
                (entry.image.width, entry.image.height) = (2, 1);
            }),
            // Nearly the same hash, but another image.
            image("b.jpg", 80.0, hash(0xFFFF_0000_1234_5679)),
            image("c.jpg", 83.0, hash(0x0123_4567_89AB_CDEF)),
            image("d.jpg", 40.0, hash(0xAAAA_AAAA_AAAA_AAAA)),
        ]);
        let found = duplicates(&index, 0.99);
        assert_eq!(paths(&index, &found.identical), [["a copy.jpg", "a.jpg"]]);
        assert_eq!(
            paths(&index, &found.near_identical),
            [["a copy.jpg", "a small.jpg"]]
        );
        assert_eq!(paths(&index, &found.similar), [["b.jpg", "c.jpg"]]);
    }

    #[test]
    fn the_largest_and_oldest_is_kept() {
        let same = |size: u64, modified_ms: i64, width: u32| {
            move |entry: &mut Entry| {
                (entry.file.size, entry.file.modified_ms) = (size, modified_ms);
                (entry.image.width, entry.image.sha256) = (width, "same".into());
            }
        };
        let index = index(vec![
            image("1.jpg", 0.0, same(10, 5, 4)),
            image("2.jpg", 0.0, same(10, 4, 4)),
            image("3.jpg", 0.0, same(10, 6, 8)),
        ]);
        let found = duplicates(&index, 2.0);
        assert_eq!(
            paths(&index, &found.identical),
            [["3.jpg", "2.jpg", "1.jpg"]]
        );
    }

    #[test]
    fn similar_groups_agree_with_every_pair() {
        // More than one block, with a pattern of angles.
        let images = (0..300).map(|i| {
            image(&format!("{i:03}.jpg"), (i * 7 % 300) as f32, |entry| {
                // Far from each other: a multiplicative hash.
                entry.image.difference_hash = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            })
        });
        let index = index(images.collect());
        let threshold = 2.5f32.to_radians().cos();
        let found = duplicates(&index, threshold);
        assert!(found.identical.is_empty());
        let mut expected = Vec::new();
        let mut grouped = [false; 300];
        for a in 0..300 {
            if grouped[a] {
                continue;
            }
            let near = |b: &usize| *b == a || (*b > a && cosine(&index, a, *b) >= threshold);
            let members: Vec<usize> = (a..300).filter(|b| !grouped[*b] && near(b)).collect();
            if members.len() > 1 {
                members.iter().for_each(|b| grouped[*b] = true);
                expected.push(Group { entries: members });
            }
        }
        expected.sort_by_key(|group| (std::cmp::Reverse(group.entries.len()), group.entries[0]));
        assert_eq!(found.similar, expected);
        assert!(expected.len() > 50);
    }

    #[test]
    fn an_empty_index_has_no_duplicates() {
        assert_eq!(duplicates(&index(Vec::new()), 0.9), Duplicates::default());
    }
}
