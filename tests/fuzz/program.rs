//! Program of cargo-fuzz: gives what libFuzzer makes up to the target that `CLIP_FUZZ` names.
//! With `CLIP_FUZZ_SEEDS`, writes the files to begin with into that folder first.

#![no_main]

use std::fs;
use std::sync::OnceLock;

mod targets;

static READ: OnceLock<fn(&[u8])> = OnceLock::new();

fn init() {
    let name = std::env::var("CLIP_FUZZ").unwrap_or_default();
    let target = (targets::TARGETS.iter())
        .find(|target| target.name == name)
        .expect("CLIP_FUZZ names a target of tests/fuzz/targets.rs");
    if let Ok(folder) = std::env::var("CLIP_FUZZ_SEEDS") {
        fs::create_dir_all(&folder).expect("the folder of seeds can be made");
        for (number, (_, bytes)) in targets::corpus(target).into_iter().enumerate() {
            fs::write(format!("{folder}/{number}"), bytes).expect("a seed can be written");
        }
    }
    READ.get_or_init(|| target.read);
}

libfuzzer_sys::fuzz_target!(init: init(), |bytes: &[u8]| {
    if let Some(read) = READ.get() {
        read(bytes);
    }
});
