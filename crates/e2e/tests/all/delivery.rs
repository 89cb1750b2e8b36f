//! Continuous delivery: a stack of nested templates, and pushes that go live.
