//! Changed files of every kind that the program reads: refused, or read; never a panic, an
//! endless loop or memory without bound. In a browser none of these could be caught.
//!
//! The readers are those that `scripts/fuzz` fuzzes for longer. The same files are made on every
//! run; one that breaks something is kept in the folder for temporary files, and its copy in
//! `tests/fuzz/corpus` is tried from then on.

mod common;
#[path = "fuzz/targets.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::Random;
use targets::{TARGETS, Target, corpus};

/// Longest time for a file; a hundred times what one takes on an idle machine.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Allocator that counts what a thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(added: usize, removed: usize) {
    // A thread that ends may have none any more.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + added).saturating_sub(removed));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers that readers trip over.
const NUMBERS: [&str; 9] = [
    "0",
    "-1",
    "1e300",
    "0.5",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1000000007",
];

/// A file with a few changes: other bytes and numbers, parts that are gone, doubled, or of
/// another file.
fn changed(original: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + random.below(4) {
        // Half of all changes are near the beginning, where headers are.
        let end = match random.below(2) {
            0 => bytes.len(),
            _ => bytes.len().min(400),
        };
        let place = random.below(end);
        let after = (place + 1 + random.below(40)).min(bytes.len());
        let Some(byte) = bytes.get_mut(place) else {
            break;
        };
        match random.below(10) {
            0 => *byte = b"0123456789"[random.below(10)],
            1 => *byte = b"abnqkvwFIBTF_.\"[]{},:\\(*+?"[random.below(26)],
            2 => *byte = random.below(256) as u8,
            3 => *byte ^= 1 << random.below(8),
            4 => drop(bytes.drain(place..after)),
            5 => drop(bytes.splice(place..place, bytes[place..after].to_vec())),
            6 => bytes.truncate(place.max(1)),
            7 => {
                let extreme = [0, 0x7f, 0x80, 0xff][random.below(4)];
                let width = [1, 2, 4, 8][random.below(4)];
                let end = (place + width).min(bytes.len());
                bytes[place..end].fill(extreme);
            }
            8 => {
                // A number in a text, and all of its digits.
                let digits = |byte: &&u8| byte.is_ascii_digit();
                let Some(start) = bytes[place..].iter().position(|b| digits(&b)) else {
                    continue;
                };
                let start = place + start;
                let end = start + bytes[start..].iter().take_while(digits).count();
                let number = NUMBERS[random.below(NUMBERS.len())].bytes();
                drop(bytes.splice(start..end, number));
            }
            _ => {
                let from = random.below(other.len());
                let to = (from + 1 + random.below(40)).min(other.len());
                drop(bytes.splice(place..place, other[from..to].to_vec()));
            }
        }
    }
    bytes
}

/// Gives a file to a reader: no panic, not too long, and not more memory than it may take.
fn read(target: &Target, bytes: &[u8], what: &str) {
    let (before, begun) = (HELD.get(), Instant::now());
    MOST.set(before);
    let panicked = catch_unwind(AssertUnwindSafe(|| (target.read)(bytes))).is_err();
    let (time, memory) = (begun.elapsed(), (MOST.get() - before) >> 20);
    if panicked || time > MOST_TIME || memory > target.memory {
        let kept = std::env::temp_dir().join(format!("clip-{}", target.name));
        std::fs::write(&kept, bytes).unwrap();
        panic!(
            "{what}: {} ({time:?}, {memory} MiB; {})",
            if panicked { "a panic" } else { "too much" },
            kept.display()
        );
    }
}

/// Reads the corpus of a target, and so many changed files: more of them for as long as
/// `CLIP_FUZZ_SECONDS` says.
fn survives(name: &str, rounds: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let files = corpus(target);
    assert!(!files.is_empty());
    // What is loaded once counts for no file.
    (target.read)(&files[0].1);
    for (file, bytes) in &files {
        read(target, bytes, &format!("{name}, {file}"));
    }
    let seconds = std::env::var("CLIP_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(0));
    let (begun, mut random) = (Instant::now(), Random::new(7));
    for round in 0.. {
        if round >= rounds && begun.elapsed() >= time {
            return eprintln!("{name}: {round} changed files");
        }
        let [file, other] = [(); 2].map(|()| &files[random.below(files.len())]);
        let bytes = changed(&file.1, &other.1, &mut random);
        read(
            target,
            &bytes,
            &format!("{name}, {} in round {round}", file.0),
        );
    }
}

macro_rules! targets {
    ($($test:ident $name:literal $rounds:literal)*) => {
        $(#[test]
        fn $test() {
            survives($name, $rounds);
        })*

        #[test]
        fn every_target_is_tried() {
            let tried = [$($name),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(tried));
        }
    };
}

targets! {
    changed_images_are_survived "images" 3000
    changed_weights_are_survived "weights" 2000
    changed_configs_are_survived "configs" 1000
    changed_tokenizers_are_survived "tokenizers" 4000
    changed_texts_are_survived "texts" 3000
    changed_tables_are_survived "tables" 3000
    changed_zips_are_survived "zips" 4000
    changed_shards_are_survived "shards" 4000
    changed_checkpoints_are_survived "checkpoints" 2000
    changed_indexes_are_survived "indexes" 4000
    changed_messages_are_survived "messages" 4000
    changed_adapters_are_survived "adapters" 2000
}

/// Small files that claim or become much.
mod bombs {
    use std::io::{Cursor, Read};

    use clip::data::{DataError, DataFiles, Dataset, InMemory, ZipFiles};
    use clip::preprocess::decode;
    use clip::tokenizer::{SpecialIds, Tokenizer};
    use pollster::block_on;

    use super::{HELD, MOST, MOST_TIME};

    /// What a function gives, and the memory that it took meanwhile, MiB.
    fn measured<T>(function: impl FnOnce() -> T) -> (T, usize) {
        let begun = std::time::Instant::now();
        let before = HELD.get();
        MOST.set(before);
        let result = function();
        assert!(begun.elapsed() < MOST_TIME, "{:?}", begun.elapsed());
        (result, (MOST.get() - before) >> 20)
    }

    fn fixture(path: &str) -> Vec<u8> {
        std::fs::read(super::common::file(path)).unwrap()
    }

    #[test]
    fn pictures_that_claim_to_be_large_take_no_memory() {
        let mut png = fixture("tests/fixtures/scene.png");
        png[16..24].copy_from_slice(&[0, 0, 0x36, 0xb0, 0, 0, 0x36, 0xb0]); // 14,000 x 14,000
        let crc = {
            let mut crc = flate2::Crc::new();
            crc.update(&png[12..29]);
            crc.sum()
        };
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        png.truncate(8000);
        let mut jpeg = fixture("tests/fixtures/scene.jpg");
        let frame = jpeg
            .windows(2)
            .position(|pair| pair == [0xff, 0xc0])
            .unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x36, 0xb0, 0x36, 0xb0]);
        for (file, name) in [(png, "PNG"), (jpeg, "JPEG")] {
            let (result, memory) = measured(|| decode(&file));
            let error = result.unwrap_err().to_string();
            assert!(error.contains(name) && memory < 4, "{error}: {memory} MiB");
        }
    }

    /// A zip of one deflated file of zeros, which it says is of another length.
    fn zip_of_zeros(length: usize, claimed: u32) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(
            &mut Read::take(std::io::repeat(0), length as u64),
            &mut encoder,
        )
        .unwrap();
        let packed = encoder.finish().unwrap();
        let common = [
            &[20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &(packed.len() as u32).to_le_bytes(),
            &claimed.to_le_bytes(),
            &[9, 0, 0, 0],
        ]
        .concat();
        let local = [b"PK\x03\x04", &common[..], b"cat/1.png", &packed].concat();
        let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], b"cat/1.png"].concat();
        let end = [
            &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
            &(central.len() as u32).to_le_bytes(),
            &(local.len() as u32).to_le_bytes(),
            &[0, 0],
        ];
        [local, central, end.concat()].concat()
    }

    #[test]
    fn a_zip_gives_no_more_than_it_says_and_says_no_more_than_an_image_has() {
        for (claimed, words) in [
            (1000, "expected 1000, got 1001"),
            (u32::MAX, "bytes are too many for an image"),
        ] {
            let zip = zip_of_zeros(200 << 20, claimed);
            assert!(zip.len() < 300_000);
            let (error, memory) = measured(|| {
                let files = ZipFiles::open("data.zip".into(), Cursor::new(zip)).unwrap();
                block_on(files.read("cat/1.png")).unwrap_err().to_string()
            });
            assert!(error.contains(words) && memory < 4, "{error}: {memory} MiB");
        }
    }

    #[test]
    fn a_zip_of_one_name_a_hundred_thousand_times_is_listed() {
        let entry = [
            &b"PK\x01\x02\x14\0\x14\0"[..],
            &[0; 20],
            &[5],
            &[0; 17],
            b"a.png",
        ]
        .concat();
        let count = 100_000u32;
        let mut zip = entry.repeat(count as usize);
        let length = zip.len() as u64;
        // Of so many entries the end says it in 64 bits.
        let end = [
            &b"PK\x06\x06"[..],
            &44u64.to_le_bytes(),
            &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &u64::from(count).to_le_bytes(),
            &u64::from(count).to_le_bytes(),
            &length.to_le_bytes(),
            &0u64.to_le_bytes(),
            b"PK\x06\x07\0\0\0\0",
            &length.to_le_bytes(),
            &1u32.to_le_bytes(),
            b"PK\x05\x06\0\0\0\0",
            &[0xff; 12],
            &[0; 2],
        ];
        zip.extend(end.concat());
        let (files, memory) = measured(|| ZipFiles::open("data.zip".into(), Cursor::new(zip)));
        let paths = files.unwrap().paths();
        assert_eq!(paths.len(), count as usize);
        assert!(
            paths.contains(&"a (100000).png".into()) && memory < 200,
            "{memory} MiB"
        );
    }

    fn opened(table: &str, text: Vec<u8>) -> (Result<Dataset, DataError>, usize) {
        let files = InMemory {
            name: "data".into(),
            files: vec![(table.into(), text), ("1.png".into(), Vec::new())],
        };
        measured(|| block_on(Dataset::open(&files, None)))
    }

    #[test]
    fn tables_of_millions_of_columns_are_read_or_refused() {
        let row = |first: &str, rest: &str| [first, &rest.repeat(3_000_000), "\n"].concat();
        let wide = [row("file,label", ","), row("1.png,cat", ",x")].concat();
        let (dataset, memory) = opened("data.csv", wide.into_bytes());
        assert_eq!(dataset.unwrap().examples.len(), 1);
        assert!(memory < 1000, "{memory} MiB");
        let (dataset, memory) = opened("data.csv", row("\"file", "\"\"").into_bytes());
        assert!(dataset.is_err() && memory < 100, "{memory} MiB");
    }

    #[test]
    fn json_lines_of_many_names_are_read() {
        let name = |number: usize| format!("\"column {number}\":1");
        let names: Vec<String> = (0..200_000).map(name).collect();
        let one = format!(r#"{{"file":"1.png","label":"cat",{}}}"#, names.join(","));
        let each: Vec<String> = (0..100_000)
            .map(|number| format!(r#"{{"file":"1.png","label":"cat",{}}}"#, name(number)))
            .collect();
        for text in [one, each.join("\n")] {
            let (dataset, memory) = opened("data.jsonl", text.into_bytes());
            assert!(!dataset.unwrap().examples.is_empty());
            assert!(memory < 300, "{memory} MiB");
        }
    }

    #[test]
    fn a_table_of_paths_without_end_and_names_in_all_spellings_is_read() {
        let deep = format!(
            "file,label\n/{}1.png,cat\n1.png,dog\n",
            "a/".repeat(300_000)
        );
        let spelled = |number: u32| -> String {
            let letter = |bit: u32| if number >> bit & 1 == 0 { 'a' } else { 'A' };
            (0..17).map(letter).collect()
        };
        let rows: Vec<String> = (0..1 << 17)
            .map(|n| format!("1.png,{}", spelled(n)))
            .collect();
        for text in [deep, format!("file,label\n{}", rows.join("\n"))] {
            let (dataset, memory) = opened("data.csv", text.into_bytes());
            assert!(dataset.is_ok() && memory < 300, "{memory} MiB");
        }
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = "[".repeat(3_000_000);
        let (dataset, memory) = opened("data.jsonl", deep.clone().into_bytes());
        assert!(dataset.is_err() && memory < 100, "{memory} MiB");
        let special = SpecialIds::default();
        for file in [deep.clone(), format!(r#"{{"normalizer":{deep}"#)] {
            let tokenizer = Tokenizer::from_json(file.as_bytes(), 77, special);
            assert!(tokenizer.is_err());
        }
    }
}
