//! Layout of the pictures on the page: few are all there, of many only the blocks near the
//! viewport; a list that changes does so in steps.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Range;

/// Pictures up to this number are all on the page.
pub const ALL: usize = 60;

/// Pictures of a block: full rows in one, two, three or four columns.
pub const BLOCK: usize = 12;

/// Number of blocks.
pub fn blocks(pictures: usize) -> usize {
    pictures.div_ceil(BLOCK)
}

/// Places of a block's pictures in the order that is shown.
pub fn places(block: usize, pictures: usize) -> Range<usize> {
    let end = pictures.min((block + 1) * BLOCK);
    (block * BLOCK).min(end)..end
}

/// Blocks within one screen of the viewport; at least one. In pixels: `top` is where the
/// first block begins, from the viewport's upper edge; `screen` is the viewport's height;
/// `pitch` leads from one block to the next.
pub fn near(top: f64, screen: f64, pitch: f64, blocks: usize) -> Range<usize> {
    let last = blocks.saturating_sub(1) as f64;
    if pitch <= 0.0 {
        return 0..blocks.min(1);
    }
    let place = |y: f64| ((y - top) / pitch).floor().clamp(0.0, last) as usize;
    place(-screen)..(place(2.0 * screen) + 1).min(blocks)
}

/// The next list on the way from the one that is `drawn` to the `wanted` one, with at most
/// `most` new items. What is not wanted any more goes last, so that the page keeps its height.
pub fn step<T: Clone, K: Eq + Hash>(
    drawn: &[T],
    wanted: &[T],
    key: impl Fn(&T) -> K,
    most: usize,
) -> Vec<T> {
    let known: HashSet<K> = drawn.iter().map(&key).collect();
    let mut new = 0;
    let reached = wanted.iter().take_while(|item| {
        new += usize::from(!known.contains(&key(item)));
        new <= most
    });
    let mut next: Vec<T> = reached.cloned().collect();
    let placed: HashSet<K> = next.iter().map(&key).collect();
    let left = wanted.len() - next.len();
    let waiting = drawn.iter().filter(|item| !placed.contains(&key(item)));
    next.extend(waiting.take(left).cloned());
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_the_viewport_is_there() {
        // Ten blocks of 1,000 pixels, a screen of 800.
        let near = |top| near(top, 800.0, 1_000.0, 10);
        assert_eq!(near(300.0), 0..2);
        assert_eq!(near(0.0), 0..2);
        assert_eq!(near(-5_000.0), 4..7);
        assert_eq!(near(-9_900.0), 9..10);
        assert_eq!(near(-90_000.0), 9..10);
        assert_eq!(near(90_000.0), 0..1);
    }

    #[test]
    fn one_block_is_there_before_its_height_is_known() {
        assert_eq!(near(0.0, 800.0, 0.0, 10), 0..1);
        assert_eq!(near(0.0, 800.0, 0.0, 0), 0..0);
    }

    #[test]
    fn blocks_hold_every_picture_once() {
        let pictures = 3 * BLOCK + 5;
        let places: Vec<usize> = (0..blocks(pictures))
            .flat_map(|block| places(block, pictures))
            .collect();
        assert_eq!(places, (0..pictures).collect::<Vec<_>>());
        // While pictures are removed a block may be left without any.
        assert!(super::places(9, pictures).is_empty());
    }

    #[test]
    fn a_list_changes_in_steps_and_keeps_its_height() {
        let wanted: Vec<u32> = (0..10).collect();
        let next = |drawn: &[u32]| step(drawn, &wanted, |item| *item, 4);
        assert_eq!(next(&[]), [0, 1, 2, 3]);
        assert_eq!(next(&[0, 1, 2, 3]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(next(&next(&next(&[]))), wanted);
        assert_eq!(next(&wanted), wanted);
        // Others give way from the first on; what stays is not drawn again.
        let others: Vec<u32> = (20..30).collect();
        assert_eq!(next(&others), [0, 1, 2, 3, 20, 21, 22, 23, 24, 25]);
        assert_eq!(next(&[9, 1, 20, 0]), [0, 1, 2, 3, 4, 5, 9, 20]);
        assert!(step(&others, &[], |item| *item, 4).is_empty());
    }

    #[test]
    fn of_ten_thousand_pictures_a_few_blocks_are_there() {
        let blocks = blocks(10_000);
        for step in 0..1_000 {
            let near = near(-2_300.0 * f64::from(step), 900.0, 2_300.0, blocks);
            assert!((1..=3).contains(&near.len()), "{near:?}");
        }
    }
}
