//! Visits and maps of a module's parameters, with their paths.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Visitor of float parameters.
pub trait ParamVisitor {
    /// Visits the parameter at `path`: names of modules and parameter, joined by dots.
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>);
}

/// Mapper of float parameters.
pub trait ParamMapper {
    /// Maps the parameter at `path`: names of modules and parameter, joined by dots.
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;

    /// Maps the flag at `path`; the same flag by default.
    fn map_flag(&mut self, _path: &str, flag: Param<Flag>) -> Param<Flag> {
        flag
    }
}

/// Visits all float parameters of a module.
pub fn visit_params(module: &impl Module, visitor: &mut impl ParamVisitor) {
    module.visit(&mut WithPath::new(visitor));
}

/// Maps all float parameters and flags of a module.
pub fn map_params<M: Module>(module: M, mapper: &mut impl ParamMapper) -> M {
    module.map(&mut WithPath::new(mapper))
}

/// Visitor or mapper, with the names on the way to the current parameter.
struct WithPath<'a, T> {
    names: Vec<String>,
    inner: &'a mut T,
}

impl<'a, T> WithPath<'a, T> {
    fn new(inner: &'a mut T) -> Self {
        Self {
            names: Vec::new(),
            inner,
        }
    }

    fn path(&self) -> String {
        self.names.join(".")
    }
}

impl<T: ParamVisitor> ModuleVisitor for WithPath<'_, T> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.names.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path();
        self.inner.visit(&path, param);
    }
}

impl<T: ParamMapper> ModuleMapper for WithPath<'_, T> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.names.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path();
        self.inner.map(&path, param)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let path = self.path();
        self.inner.map_flag(&path, flag)
    }
}
