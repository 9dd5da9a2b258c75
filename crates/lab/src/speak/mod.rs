//! What hosts say: one module per protocol, with functions that build its messages and, where a
//! conversation has an order, hold it.

pub(crate) mod bacnet;
pub(crate) mod can;
pub(crate) mod coap;
pub(crate) mod dbus;
pub(crate) mod dhcp;
pub(crate) mod dicom;
pub(crate) mod dnp3;
pub(crate) mod dns;
pub(crate) mod enip;
pub(crate) mod ftp;
pub(crate) mod hl7;
pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod iec104;
pub(crate) mod link;
pub(crate) mod modbus;
pub(crate) mod mqtt;
pub(crate) mod ndp;
pub(crate) mod ntp;
pub(crate) mod quic;
pub(crate) mod rdp;
pub(crate) mod s7;
pub(crate) mod smb;
pub(crate) mod snmp;
pub(crate) mod ssdp;
pub(crate) mod ssh;
pub(crate) mod telnet;
pub(crate) mod tls;
pub(crate) mod uds;
