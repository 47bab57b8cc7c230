//! Rankings of many pictures in one message, as numbers: each label is spelled once.

use serde::{Deserialize, Serialize};

use super::messages::ImageId;

/// Score of one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Index into [`Rankings::labels`].
    pub label: u32,
    /// Softmax over the labels.
    pub probability: f32,
    /// Cosine of the features of picture and label, -1 to 1.
    pub similarity: f32,
}

/// Rankings of several pictures over the same labels, most likely label first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rankings {
    /// Labels that the scores name by their index.
    pub labels: Vec<String>,
    /// Pictures, in the order of the scores.
    pub images: Vec<ImageId>,
    /// `[images][labels]` scores, little-endian: a byte array crosses to another thread
    /// as one copy, where a list of objects would take longer than the ranking itself.
    #[serde(with = "byte_array")]
    scores: Vec<u8>,
}

impl Rankings {
    /// Bytes of a [`Score`].
    const SCORE: usize = 12;

    /// Adds the ranking of a picture: label, probability and similarity, most likely first.
    pub fn push(&mut self, image: ImageId, ranking: impl IntoIterator<Item = (String, f32, f32)>) {
        self.images.push(image);
        for (place, (label, probability, similarity)) in ranking.into_iter().enumerate() {
            let label = self.index(label, place);
            self.scores.extend(label.to_le_bytes());
            self.scores.extend(probability.to_le_bytes());
            self.scores.extend(similarity.to_le_bytes());
        }
    }

    /// Index of a label. It is often where the ranking before had it.
    fn index(&mut self, label: String, place: usize) -> u32 {
        if self.labels.get(place) == Some(&label) {
            return place as u32;
        }
        let known = self.labels.iter().position(|known| *known == label);
        known.unwrap_or_else(|| {
            self.labels.push(label);
            self.labels.len() - 1
        }) as u32
    }

    /// The pictures with their scores, most likely label first. What was cut short on its
    /// way is left out.
    pub fn iter(&self) -> impl Iterator<Item = (ImageId, Vec<Score>)> {
        let row = self.scores.len() / self.images.len().max(1);
        let rows = self.scores.chunks_exact(row.max(1));
        (self.images.iter().copied()).zip(rows).map(|(image, row)| {
            let scores = row.chunks_exact(Self::SCORE).filter_map(Score::read);
            (image, scores.collect())
        })
    }
}

impl Score {
    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
        Some(Self {
            label: u32::from_le_bytes(word(0)?),
            probability: f32::from_le_bytes(word(4)?),
            similarity: f32::from_le_bytes(word(8)?),
        })
    }
}

/// Serialisation of bytes as such, where serde's own way is a sequence of numbers.
mod byte_array {
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        // JSON has no bytes.
        fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = numbers.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_read_as_they_were_written() {
        let mut rankings = Rankings::default();
        let row = |label: &str, probability, similarity| (label.into(), probability, similarity);
        rankings.push(7, [row("cat", 0.75, 0.5), row("dog", 0.25, -0.125)]);
        rankings.push(9, [row("dog", 1.0, 0.0625), row("cat", 0.0, 0.0)]);
        assert_eq!(rankings.labels, ["cat", "dog"]);
        let score = |label, probability, similarity| Score {
            label,
            probability,
            similarity,
        };
        let read: Vec<_> = rankings.iter().collect();
        assert_eq!(
            read,
            [
                (7, vec![score(0, 0.75, 0.5), score(1, 0.25, -0.125)]),
                (9, vec![score(1, 1.0, 0.0625), score(0, 0.0, 0.0)]),
            ]
        );
        assert_eq!(Rankings::default().iter().count(), 0);
    }
}
