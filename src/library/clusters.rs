//! Clusters of images that look alike, found without labels: spherical k-means over the
//! features, named by the words that tell the clusters apart.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Index;
use super::search::unit;
use super::similarities::{Rows, similarities};
use crate::model::BUNDLED_NAME;

/// Images that are nearer to one centre than to all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Indices of the entries, the nearest to the centre first.
    pub entries: Vec<usize>,
    /// Cosine similarity of each of them to the centre, -1 to 1.
    pub similarities: Vec<f32>,
    /// Mean direction of the images, a unit vector `[embed_dim]`.
    pub centre: Vec<f32>,
    /// Mean cosine similarity of the images to the centre, -1 to 1.
    pub cohesion: f32,
}

/// Images that choose the number of clusters, and from which the first centres come.
const SAMPLE: usize = 1000;
/// Numbers of clusters to choose from.
const COUNTS: [usize; 14] = [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50];
/// How much farther from 1 than the best a silhouette may be. Those of photographs hardly differ
/// between two large groups and many small ones, which tell more; those of clear groups do.
const SLACK: f32 = 1.15;
/// After so many rounds the centres hardly move.
const ROUNDS: usize = 30;

/// Clusters of some of an index's images, the largest first. Without `count` their number is
/// the largest with a silhouette near the best, over a sample. The result is the same each time; there are fewer clusters than asked for where images are equal.
pub fn clusters(index: &Index, entries: &[usize], count: Option<usize>) -> Vec<Cluster> {
    let dim = index.model().embed_dim();
    let rows = index.rows_of(entries);
    let sample = sample(&rows, dim);
    let seeds = match count {
        Some(count) => first_centres(&sample, count),
        None => best_centres(&sample),
    };
    let (centres, nearest) = k_means(&rows, seeds);
    let mut found: Vec<Cluster> = (centres.into_iter())
        .map(|centre| Cluster {
            entries: Vec::new(),
            similarities: Vec::new(),
            centre,
            cohesion: 0.0,
        })
        .collect();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|a, b| nearest[*b].1.total_cmp(&nearest[*a].1));
    for image in order {
        let (cluster, similarity) = nearest[image];
        found[cluster].entries.push(entries[image]);
        found[cluster].similarities.push(similarity);
    }
    found.retain(|cluster| !cluster.entries.is_empty());
    for cluster in &mut found {
        cluster.cohesion = cluster.similarities.iter().sum::<f32>() / cluster.entries.len() as f32;
    }
    // A stable sort: equal sizes keep the order of their centres.
    found.sort_by_key(|cluster| std::cmp::Reverse(cluster.entries.len()));
    found
}

/// The `top` words that fit each cluster best, as indices into `words`, `[words]` unit
/// vectors of the same model. Half of what a word has in common with all clusters does not
/// count: names must fit, and tell the clusters apart. No two clusters have the same first
/// word.
pub fn cluster_words(clusters: &[Cluster], words: &[Vec<f32>], top: usize) -> Vec<Vec<usize>> {
    let centres: Vec<f32> = (clusters.iter())
        .flat_map(|cluster| cluster.centre.iter().copied())
        .collect();
    // `[clusters, words]`
    let mut scores = similarities(Rows::F32(&centres), words);
    if scores.is_empty() || top == 0 {
        return vec![Vec::new(); clusters.len()];
    }
    for word in 0..words.len() {
        let column = || (word..clusters.len() * words.len()).step_by(words.len());
        let mean = column().map(|at| scores[at]).sum::<f32>() / clusters.len() as f32;
        column().for_each(|at| scores[at] -= mean / 2.0);
    }
    let mut names: Vec<Vec<usize>> = (scores.chunks(words.len()))
        .map(|scores| {
            let mut order: Vec<usize> = (0..words.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            order
        })
        .collect();
    // The clearest name is given away first.
    let mut pairs: Vec<(usize, usize)> = (0..clusters.len())
        .flat_map(|cluster| (0..words.len()).map(move |word| (cluster, word)))
        .collect();
    let score = |(cluster, word): (usize, usize)| scores[cluster * words.len() + word];
    pairs.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    let (mut named, mut taken) = (vec![false; clusters.len()], vec![false; words.len()]);
    for (cluster, word) in pairs {
        if !named[cluster] && !taken[word] {
            (named[cluster], taken[word]) = (true, true);
            names[cluster].retain(|other| *other != word);
            names[cluster].insert(0, word);
        }
    }
    names.iter_mut().for_each(|words| words.truncate(top));
    names
}

/// Everyday words to name clusters by and to filter with, for a model by its name: some 900,
/// or the 540 of them that the bundled model knows. What it says of other words means
/// nothing.
pub fn vocabulary(model: &str) -> Vec<String> {
    let bundled = model == BUNDLED_NAME;
    let words = include_str!("words.txt").lines();
    // An empty line parts those that the bundled model was trained with.
    (words.take_while(|word| !bundled || !word.is_empty()))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// At most [`SAMPLE`] rows, evenly spread; of unit length again after the rounding to f16.
fn sample(rows: &[f16], dim: usize) -> Vec<Vec<f32>> {
    let count = rows.len() / dim.max(1);
    let taken = count.min(SAMPLE);
    (0..taken)
        .map(|i| i * count / taken)
        .filter_map(|row| unit(rows[row * dim..(row + 1) * dim].to_f32_vec()))
        .collect()
}

/// Centres of k-means++: each is an image, the likelier the farther from those before it.
fn first_centres(sample: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
    let Some(first) = sample.first() else {
        return Vec::new();
    };
    let mut random = StdRng::seed_from_u64(0);
    let mut centres = vec![first.clone()];
    let mut distances = vec![f32::INFINITY; sample.len()];
    let flat = sample.concat();
    while centres.len() < count {
        let newest = &centres[centres.len() - 1..];
        for (distance, similarity) in
            (distances.iter_mut()).zip(similarities(Rows::F32(&flat), newest))
        {
            // Rounding must not part equal images.
            let apart = 1.0 - similarity;
            *distance = distance.min(if apart < 1e-5 { 0.0 } else { apart });
        }
        let sum: f32 = distances.iter().sum();
        if sum <= 0.0 {
            break;
        }
        let mut left = random.random::<f32>() * sum;
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0 && *distance > 0.0
        });
        // Rounding may leave a little at the end.
        let drawn = drawn.or_else(|| distances.iter().rposition(|distance| *distance > 0.0));
        let Some(drawn) = drawn else { break };
        centres.push(sample[drawn].clone());
    }
    centres
}

/// Centres of the largest number of clusters whose mean silhouette over the sample is near the
/// best. The square of that number is at most twice the sample's.
fn best_centres(sample: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let rows: Vec<f16> = (sample.iter().flatten())
        .map(|value| f16::from_f32(*value))
        .collect();
    let pairs = similarities(Rows::F16(&rows), sample);
    let tried: Vec<(f32, Vec<Vec<f32>>)> = (COUNTS.into_iter())
        .take_while(|count| *count == 2 || count * count <= 2 * sample.len())
        .map(|count| {
            let (centres, nearest) = k_means(&rows, first_centres(sample, count));
            (silhouette(&pairs, &nearest, centres.len()), centres)
        })
        .collect();
    let best = (tried.iter()).fold(f32::NEG_INFINITY, |best, (silhouette, _)| {
        best.max(*silhouette)
    });
    let near = |silhouette: f32| 1.0 - silhouette <= SLACK * (1.0 - best);
    let chosen = tried.into_iter().rfind(|(silhouette, _)| near(*silhouette));
    chosen.map_or_else(|| first_centres(sample, 1), |(_, centres)| centres)
}

/// Mean silhouette of a clustering: how much nearer images are to those of their own
/// cluster than to those of the next, -1 to 1. `pairs` is `[images, images]`.
fn silhouette(pairs: &[f32], nearest: &[(usize, f32)], clusters: usize) -> f32 {
    let images = nearest.len();
    let mut sizes = vec![0usize; clusters];
    nearest.iter().for_each(|(cluster, _)| sizes[*cluster] += 1);
    let mut sum = 0.0;
    for (image, &(own, _)) in nearest.iter().enumerate() {
        if sizes[own] < 2 {
            continue; // counts as 0
        }
        let mut distances = vec![0.0f32; clusters];
        for (other, &(cluster, _)) in nearest.iter().enumerate() {
            if other != image {
                distances[cluster] += (1.0 - pairs[image * images + other]).max(0.0);
            }
        }
        let inner = distances[own] / (sizes[own] - 1) as f32;
        let outer = (0..clusters)
            .filter(|cluster| *cluster != own && sizes[*cluster] > 0)
            .map(|cluster| distances[cluster] / sizes[cluster] as f32)
            .fold(f32::INFINITY, f32::min);
        let larger = inner.max(outer);
        if larger > 0.0 && outer.is_finite() {
            sum += (outer - inner) / larger;
        }
    }
    sum / images.max(1) as f32
}

/// Lloyd's rounds over unit vectors: centres, and for each row its nearest centre with the
/// cosine similarity to it.
fn k_means(rows: &[f16], mut centres: Vec<Vec<f32>>) -> (Vec<Vec<f32>>, Vec<(usize, f32)>) {
    let dim = centres.first().map_or(1, Vec::len);
    let mut nearest = nearest_centres(rows, &centres);
    for _ in 0..ROUNDS {
        let mut sums = vec![vec![0.0f32; dim]; centres.len()];
        let mut row = vec![0.0; dim];
        for (values, (cluster, _)) in rows.chunks_exact(dim).zip(&nearest) {
            values.convert_to_f32_slice(&mut row);
            (sums[*cluster].iter_mut().zip(&row)).for_each(|(sum, value)| *sum += value);
        }
        for (centre, sum) in centres.iter_mut().zip(sums) {
            // A centre without images, or whose images cancel out, stays.
            if let Some(mean) = unit(sum) {
                *centre = mean;
            }
        }
        let next = nearest_centres(rows, &centres);
        let moved = (next.iter().zip(&nearest)).any(|(next, before)| next.0 != before.0);
        nearest = next;
        if !moved {
            break;
        }
    }
    (centres, nearest)
}

fn nearest_centres(rows: &[f16], centres: &[Vec<f32>]) -> Vec<(usize, f32)> {
    let similarities = similarities(Rows::F16(rows), centres);
    (similarities.chunks(centres.len().max(1)))
        .map(|row| {
            // Of equally near centres the first.
            (row.iter().copied().enumerate()).fold(
                (0, f32::NEG_INFINITY),
                |best, (cluster, similarity)| match similarity > best.1 {
                    true => (cluster, similarity),
                    false => best,
                },
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::{entry, fingerprint};
    use super::*;

    /// Images at angles, in the plane of a model of two dimensions.
    fn index(degrees: &[f32]) -> Index {
        let mut index = Index::new("photos", fingerprint());
        let images = degrees.iter().enumerate().map(|(i, degrees)| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            (entry(&format!("{i:05}.jpg")), vec![cos, sin])
        });
        index.extend(images.collect(), Vec::new());
        index
    }

    fn all(index: &Index) -> Vec<usize> {
        (0..index.entries().len()).collect()
    }

    /// Heaps around 0, 90 and 200 degrees, mixed; the second is the largest.
    fn heaps(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| [0.0, 90.0, 200.0, 90.0][i % 4] + (i % 13) as f32 - 6.0)
            .collect()
    }

    #[test]
    fn heaps_are_found_and_counted() {
        let degrees = heaps(2400);
        let index = index(&degrees);
        let found = clusters(&index, &all(&index), None);
        assert_eq!(
            found.iter().map(|c| c.entries.len()).collect::<Vec<_>>(),
            [1200, 600, 600]
        );
        for cluster in &found {
            let heap = |entry: usize| (degrees[entry] / 100.0).round() as i32;
            assert!(
                cluster
                    .entries
                    .iter()
                    .all(|e| heap(*e) == heap(cluster.entries[0]))
            );
            assert!(cluster.cohesion > 0.99 && cluster.cohesion <= 1.001);
        }
        // The nearest to the centre come first.
        let middle = found[0].entries[0];
        assert!((degrees[middle] - 90.0).abs() < 2.0);
        assert_eq!(
            clusters(&index, &all(&index), None),
            found,
            "the same again"
        );
    }

    #[test]
    fn images_without_clear_groups_are_parted_finely() {
        // Evenly spread over the circle, all numbers of groups are nearly as good.
        let degrees: Vec<f32> = (0..400).map(|i| (i * 7 % 400) as f32 * 0.9).collect();
        let index = index(&degrees);
        let found = clusters(&index, &all(&index), None);
        assert!(found.len() >= 12, "{}", found.len());
    }

    #[test]
    fn a_number_that_is_given_is_kept() {
        let index = index(&heaps(200));
        for count in [1, 2, 7] {
            let found = clusters(&index, &all(&index), Some(count));
            assert_eq!(found.len(), count);
            let mut entries: Vec<usize> = found.into_iter().flat_map(|c| c.entries).collect();
            entries.sort_unstable();
            assert_eq!(entries, all(&index), "each image is in one cluster");
        }
        let some = [3, 5, 8];
        let found = clusters(&index, &some, Some(2));
        let entries = found.iter().flat_map(|cluster| &cluster.entries);
        assert_eq!(entries.filter(|entry| some.contains(entry)).count(), 3);
    }

    #[test]
    fn equal_and_missing_images_are_no_trouble() {
        let equal = index(&[10.0; 20]);
        let found = clusters(&equal, &all(&equal), None);
        assert_eq!((found.len(), found[0].entries.len()), (1, 20));
        assert_eq!(clusters(&equal, &all(&equal), Some(5)).len(), 1);
        assert!(clusters(&equal, &[], None).is_empty());
        let two = index(&[0.0, 90.0]);
        assert_eq!(clusters(&two, &all(&two), Some(9)).len(), 2);
        assert_eq!(clusters(&two, &[1], None).len(), 1);
        assert!(clusters(&two, &all(&two), Some(0)).len() <= 1);
    }

    #[test]
    fn names_tell_clusters_apart() {
        let unit = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            vec![cos, sin]
        };
        let cluster = |degrees| Cluster {
            entries: vec![0],
            similarities: vec![1.0],
            centre: unit(degrees),
            cohesion: 1.0,
        };
        let found = [cluster(0.0), cluster(60.0)];
        // The first word is near to both; the others are nearer to one of them.
        let words = [unit(30.0), unit(-40.0), unit(100.0), unit(-60.0)];
        let names = cluster_words(&found, &words, 2);
        assert_eq!(names, [[1, 3], [2, 0]]);
        // One cluster alone has nothing to be told apart from.
        assert_eq!(cluster_words(&found[..1], &words, 1), [[0]]);
        // Two equal clusters do not share a name.
        let same = cluster_words(&[cluster(0.0), cluster(0.0)], &words, 1);
        assert_ne!(same[0], same[1]);
        assert_eq!(cluster_words(&found, &[], 2), [[0; 0]; 2]);
        assert!(cluster_words(&[], &words, 2).is_empty());
        // More clusters than words: some stay with a word that is taken.
        let many = cluster_words(&[cluster(0.0), cluster(1.0)], &words[..1], 1);
        assert_eq!(many, [[0], [0]]);
    }

    #[test]
    fn the_vocabulary_has_no_word_twice() {
        let mut words: Vec<String> = (vocabulary("ViT-B-32").into_iter())
            .map(|word| word.to_lowercase())
            .collect();
        assert!((600..1000).contains(&words.len()), "{}", words.len());
        assert_eq!(vocabulary(BUNDLED_NAME).len(), 540);
        assert!(
            words
                .iter()
                .all(|word| word.trim() == word && !word.is_empty())
        );
        words.sort();
        let before = words.len();
        words.dedup();
        assert_eq!(words.len(), before);
    }
}
