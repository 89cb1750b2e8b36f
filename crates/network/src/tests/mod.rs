//! Tests with real namespaces, links and packets. Each runs on a thread that has left the machine's
//! network and mount namespaces, so that what it does to "the machine" is seen by nobody.

mod behind;
mod groups;
mod guards;
mod harness;
mod health;
mod life;
mod names;
mod neighbour;
mod scale;
mod shared;
mod sockets;
mod ways_out;
