//! Worker that holds shards of matrices and computes its part of every operation.

use std::collections::HashMap;
use std::ops::Range;

use half::f16;

use super::super::attention::head_attention;
use super::super::gemm::{Matrix, PackedData};
use super::super::packed_weights::PackedWeights;
use super::SharedMemory;
use super::command::{EpilogueDesc, PackedDtype, Partition, PoolCommand, Transport};

/// Error of a command that this worker cannot execute.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command is of another version.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
    /// The matrix with this id was never uploaded.
    #[error("matrix {0} was never laid out")]
    UnknownMatrix(u32),
    /// The matrix is used before all of it has arrived.
    #[error("part of the matrix is missing")]
    IncompleteMatrix,
}

/// Shards of one worker, and its index.
pub struct ComputeWorker {
    index: usize,
    partition: Partition,
    shards: HashMap<u32, Shard>,
}

/// Part of a packed matrix.
struct Shard {
    /// Columns of the whole matrix.
    all_columns: usize,
    columns: Range<usize>,
    /// Every thread has the whole matrix.
    replicated: bool,
    values: ShardData,
}

enum ShardData {
    /// Words received so far, and their total.
    Uploading(Vec<f32>, usize),
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int8(Vec<[i8; 2]>),
}

impl ComputeWorker {
    /// Worker `index`, from 0, of a pool of `threads`, the coordinator included.
    pub fn new(index: usize, threads: usize) -> Self {
        Self {
            index,
            partition: Partition(threads),
            shards: HashMap::new(),
        }
    }

    /// Executes a command; the result is in shared memory.
    pub fn execute(
        &mut self,
        command: &str,
        memory: &dyn SharedMemory,
    ) -> Result<(), CommandError> {
        match serde_json::from_str(command)? {
            PoolCommand::UploadShard {
                matrix,
                shape: [depth, columns],
                dtype,
                replicated,
                words,
            } => {
                let local = self.partition.columns_of(columns, replicated, self.index);
                let offset = if replicated {
                    0
                } else {
                    self.index * words.len()
                };
                let shard = self.shards.entry(matrix).or_insert_with(|| {
                    let total = Partition::packed_range(depth, &local).len() / dtype.per_word();
                    Shard {
                        all_columns: columns,
                        columns: local,
                        replicated,
                        values: ShardData::Uploading(Vec::with_capacity(total), total),
                    }
                });
                shard.upload(words, offset, dtype, memory)?;
            }
            PoolCommand::DropShard { matrix } => {
                self.shards.remove(&matrix);
            }
            PoolCommand::Linear {
                matrix,
                shape: [rows, depth],
                epilogue: desc,
            } => {
                let shard = self.shard(matrix)?;
                let local = self.local(shard, 0..rows);
                let x = read(memory, local.start * depth..local.end * depth);
                let [scale, bias] = shard.epilogue_operands(desc, rows * depth, memory);
                let epilogue = desc.to_epilogue(scale.as_deref(), bias.as_deref());
                let shape = [depth, shard.columns.len()];
                let result = shard.packed()?.linear(&x, shape, &epilogue);
                memory.write_output(self.index, &result);
            }
            PoolCommand::Conv {
                matrix,
                geometry,
                output_rows,
                epilogue: desc,
            } => {
                let shard = self.shard(matrix)?;
                let local = self.local(shard, output_rows.clone());
                let (all, local_input) = (
                    geometry.input_rows(&output_rows),
                    geometry.input_rows(&local),
                );
                let offset = |row: usize| (row - all.start) * geometry.row_len();
                let picture = read(memory, offset(local_input.start)..offset(local_input.end));
                let [scale, bias] = shard.epilogue_operands(desc, offset(all.end), memory);
                let epilogue = desc.to_epilogue(scale.as_deref(), bias.as_deref());
                let columns = shard.columns.len();
                let result = (shard.packed()?).conv(&picture, geometry, local, columns, &epilogue);
                memory.write_output(self.index, &result);
            }
            PoolCommand::Attention {
                shape: [heads, length, head_dim],
                causal,
            } => {
                let (own, size) = (self.partition.range(heads, self.index), length * head_dim);
                let qkv = read(memory, 3 * size * own.start..3 * size * own.end);
                let head = |qkv: &[f32]| {
                    let part = |number: usize| Matrix {
                        values: &qkv[number * size..(number + 1) * size],
                        rows: length,
                        depth: head_dim,
                        stride: head_dim,
                    };
                    head_attention([part(0), part(1), part(2)], causal)
                };
                let result: Vec<f32> = qkv.chunks_exact(3 * size).flat_map(head).collect();
                memory.write_output(self.index, &result);
            }
        }
        Ok(())
    }

    fn shard(&self, matrix: u32) -> Result<&Shard, CommandError> {
        (self.shards.get(&matrix)).ok_or(CommandError::UnknownMatrix(matrix))
    }

    /// This worker's part of rows.
    fn local(&self, shard: &Shard, all: Range<usize>) -> Range<usize> {
        match shard.replicated {
            true => {
                let range = self.partition.range(all.len(), self.index);
                all.start + range.start..all.start + range.end
            }
            false => all,
        }
    }
}

impl Shard {
    /// Receives the next `words`, at `offset` in shared memory.
    fn upload(
        &mut self,
        words: Range<usize>,
        offset: usize,
        dtype: PackedDtype,
        memory: &dyn SharedMemory,
    ) -> Result<(), CommandError> {
        let ShardData::Uploading(values, total) = &mut self.values else {
            // This shard is smaller than another's.
            return Ok(());
        };
        let (before, total) = (values.len(), *total);
        if before != words.start.min(total) {
            return Err(CommandError::IncompleteMatrix);
        }
        values.resize(words.end.min(total), 0.0);
        memory.read(offset, &mut values[before..]);
        if values.len() == total {
            let values = std::mem::take(values);
            self.values = match dtype {
                PackedDtype::F32 => ShardData::F32(values),
                PackedDtype::F16 => ShardData::F16(Transport::from_words(values)),
                PackedDtype::Int8 => ShardData::Int8(Transport::from_words(values)),
            };
        }
        Ok(())
    }

    fn packed(&self) -> Result<PackedWeights<'_>, CommandError> {
        Ok(match &self.values {
            ShardData::Uploading(..) => return Err(CommandError::IncompleteMatrix),
            ShardData::F32(values) => PackedWeights::Exact(PackedData::F32(values)),
            ShardData::F16(values) => PackedWeights::Exact(PackedData::F16(values)),
            ShardData::Int8(values) => PackedWeights::Int8(values),
        })
    }

    /// Scale and bias of this shard's columns, at `offset` in shared memory.
    fn epilogue_operands(
        &self,
        desc: EpilogueDesc,
        offset: usize,
        memory: &dyn SharedMemory,
    ) -> [Option<Vec<f32>>; 2] {
        let mut offset = offset + self.columns.start;
        [desc.scale, desc.bias].map(|present| {
            present.then(|| {
                let values = read(memory, offset..offset + self.columns.len());
                offset += self.all_columns;
                values
            })
        })
    }
}

fn read(memory: &dyn SharedMemory, range: Range<usize>) -> Vec<f32> {
    let mut values = vec![0.0; range.len()];
    memory.read(range.start, &mut values);
    values
}
