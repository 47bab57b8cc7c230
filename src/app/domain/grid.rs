//! Layout of the pictures on the page: few are all there, of many only the blocks near the
//! viewport.

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
    fn of_ten_thousand_pictures_a_few_blocks_are_there() {
        let blocks = blocks(10_000);
        for step in 0..1_000 {
            let near = near(-2_300.0 * f64::from(step), 900.0, 2_300.0, blocks);
            assert!((1..=3).contains(&near.len()), "{near:?}");
        }
    }
}
