//! The few parts of protocol buffers that an ONNX file is made of.
//! [The encoding](https://protobuf.dev/programming-guides/encoding/).

/// Encoded message.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

impl Message {
    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// This message with an integer.
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// This message with a float.
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// This message with a text.
    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// This message with another one in it.
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// This message with bytes.
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.push_bytes(field, value);
        self
    }

    /// Adds a message.
    pub fn push(&mut self, field: u32, value: &Message) {
        self.push_bytes(field, &value.0);
    }

    fn push_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Field of an encoded message, for tests.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f32),
    /// Text, bytes or message.
    Bytes(Vec<u8>),
}

/// Fields of an encoded message, in their order.
#[cfg(test)]
pub fn read(mut bytes: &[u8]) -> Vec<(u32, FieldValue)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        (number.iter().rev()).fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes) as u32;
        let value = match key & 7 {
            VARINT => FieldValue::Int(varint(&mut bytes) as i64),
            FIXED_32 => {
                let (float, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                FieldValue::Float(f32::from_le_bytes(*float))
            }
            LENGTH_DELIMITED => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                FieldValue::Bytes(value.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_the_documentation_says() {
        // Its examples: 150 in field 1; "testing" in field 2; the first one in field 3.
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(text.0, b"\x12\x07testing");
        let inner = Message::default().int(1, 150);
        let outer = Message::default().message(3, &inner);
        assert_eq!(outer.0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn what_is_written_is_read() {
        let message = Message::default()
            .int(1, -1)
            .float(2, 1.5)
            .text(300, &"x".repeat(200));
        let expected = [
            (1, FieldValue::Int(-1)),
            (2, FieldValue::Float(1.5)),
            (300, FieldValue::Bytes(vec![b'x'; 200])),
        ];
        assert_eq!(read(&message.into_bytes()), expected);
    }
}
