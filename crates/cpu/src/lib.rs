//! The CPU backend: kernels, threads and the executor of plans. It sees a [`rhyton_graph::plan::Plan`] and
//! nothing else.
