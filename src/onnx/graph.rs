//! Graph of ONNX operators in the making.

use std::collections::BTreeSet;

use burn::module::Param;
use burn::tensor::Tensor;

use super::OnnxError;
use super::protobuf::Message;
use crate::model::read_back;

/// ONNX's types of elements.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// Value of the graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphValue(String);

/// Attribute of an operator.
pub enum Attribute<'a> {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f32),
    /// Integers.
    Ints(&'a [i64]),
}

/// Operators, constants, inputs and outputs.
#[derive(Default)]
pub struct Graph {
    message: Message,
    nodes: usize,
    /// Names of constants that several operators share.
    shared: BTreeSet<String>,
}

impl Graph {
    /// Input of floats; a dimension is a number or has a name.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> GraphValue {
        self.message.push(11, &value_info(name, shape));
        GraphValue(name.into())
    }

    /// Makes `value` an output of floats, under a name.
    pub fn output(&mut self, value: &GraphValue, name: &str, shape: &[Dim]) {
        let node = Message::default()
            .text(1, &value.0)
            .text(2, name)
            .text(3, name)
            .text(4, "Identity");
        self.message.push(1, &node);
        self.message.push(12, &value_info(name, shape));
    }

    /// Adds an operator with one output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&GraphValue],
        attributes: &[(&str, Attribute)],
    ) -> GraphValue {
        let [value] = self.node_of_many(operator, inputs, attributes);
        value
    }

    /// Adds an operator with several outputs.
    pub fn node_of_many<const N: usize>(
        &mut self,
        operator: &str,
        inputs: &[&GraphValue],
        attributes: &[(&str, Attribute)],
    ) -> [GraphValue; N] {
        let name = format!("{operator}_{}", self.nodes);
        self.nodes += 1;
        let values = std::array::from_fn(|index| match N {
            1 => GraphValue(name.clone()),
            _ => GraphValue(format!("{name}_{index}")),
        });
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, &input.0);
        }
        for value in &values {
            node = node.text(2, &value.0);
        }
        node = node.text(3, &name).text(4, operator);
        for (name, value) in attributes {
            node.push(5, &attribute(name, value));
        }
        self.message.push(1, &node);
        values
    }

    /// Constant of floats.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> GraphValue {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, &bytes)
    }

    /// A float without a shape, named by its value.
    pub fn float_of(&mut self, value: f32) -> GraphValue {
        self.shared(format!("float_{value}"), FLOAT, &[], &value.to_le_bytes())
    }

    /// An integer without a shape, named by its value.
    pub fn index(&mut self, value: i64) -> GraphValue {
        self.shared(format!("index_{value}"), INT64, &[], &value.to_le_bytes())
    }

    /// Integers `[values]`, named by their values.
    pub fn ints_of(&mut self, values: &[i64]) -> GraphValue {
        let numbers: Vec<String> = values.iter().map(i64::to_string).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = format!("ints_{}", numbers.join("_"));
        self.shared(name, INT64, &[values.len()], &bytes)
    }

    /// Constant that is added once, whoever needs it.
    fn shared(
        &mut self,
        name: String,
        data_type: i64,
        shape: &[usize],
        bytes: &[u8],
    ) -> GraphValue {
        match self.shared.insert(name.clone()) {
            true => self.constant(&name, data_type, shape, bytes),
            false => GraphValue(name),
        }
    }

    /// Parameter as a constant.
    pub async fn parameter<const D: usize>(
        &mut self,
        name: &str,
        parameter: &Param<Tensor<D>>,
    ) -> Result<GraphValue, OnnxError> {
        let shape = parameter.val().dims();
        let values = values(parameter.val()).await?;
        Ok(self.floats(name, &shape, &values))
    }

    fn constant(
        &mut self,
        name: &str,
        data_type: i64,
        shape: &[usize],
        bytes: &[u8],
    ) -> GraphValue {
        let mut tensor = Message::default();
        for side in shape {
            tensor = tensor.int(1, *side as i64);
        }
        let tensor = tensor.int(2, data_type).text(8, name).bytes(9, bytes);
        self.message.push(5, &tensor);
        GraphValue(name.into())
    }

    /// The graph as a message.
    pub fn into_message(self, name: &str) -> Message {
        self.message.text(2, name)
    }
}

/// Values of a tensor, without what it remembers for training.
pub async fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, OnnxError> {
    Ok(read_back(tensor.inner()).await?)
}

/// Dimension of a shape.
#[derive(Clone, Copy)]
pub enum Dim {
    /// Any number, by its name.
    Any(&'static str),
    /// This number.
    Is(usize),
}

fn value_info(name: &str, shape: &[Dim]) -> Message {
    let mut dims = Message::default();
    for dim in shape {
        let dim = match dim {
            Dim::Any(name) => Message::default().text(2, name),
            Dim::Is(side) => Message::default().int(1, *side as i64),
        };
        dims.push(1, &dim);
    }
    let tensor = Message::default().int(1, FLOAT).message(2, &dims);
    let kind = Message::default().message(1, &tensor);
    Message::default().text(1, name).message(2, &kind)
}

fn attribute(name: &str, value: &Attribute) -> Message {
    let named = Message::default().text(1, name);
    match value {
        Attribute::Float(value) => named.float(2, *value).int(20, 1),
        Attribute::Int(value) => named.int(3, *value).int(20, 2),
        Attribute::Ints(values) => (values.iter())
            .fold(named, |message, value| message.int(8, *value))
            .int(20, 7),
    }
}
