//! Stand-ins for the hosts of the AT Protocol network, in the process of a test: real sockets, hostile ways.
