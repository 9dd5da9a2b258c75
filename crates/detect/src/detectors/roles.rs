//! Parts that devices play, in groups.

use model::Role;

/// Devices that control a process.
pub(super) const CONTROLLERS: &[Role] =
    &[Role::Plc, Role::Rtu, Role::Ied, Role::FieldDevice, Role::BuildingController];

/// Devices of a plant, a hospital or a shop that have no business in the Internet.
pub(super) const UNCONNECTED: &[Role] = &[
    Role::Plc,
    Role::Rtu,
    Role::Ied,
    Role::FieldDevice,
    Role::Hmi,
    Role::Scada,
    Role::BuildingController,
    Role::Medical,
    Role::PointOfSale,
];

/// Devices that do one thing and on which nobody works.
pub(super) const THINGS: &[Role] = &[
    Role::Plc,
    Role::Rtu,
    Role::Ied,
    Role::FieldDevice,
    Role::Hmi,
    Role::BuildingController,
    Role::Camera,
    Role::Hub,
    Role::SmartDevice,
    Role::Router,
    Role::Switch,
    Role::AccessPoint,
    Role::Gateway,
    Role::Printer,
    Role::Media,
    Role::Phone,
    Role::Medical,
    Role::PointOfSale,
    Role::Ecu,
];

/// Those of them that show pictures, or print them.
pub(super) const SHOWING: &[Role] = &[
    Role::Hmi,
    Role::Hub,
    Role::SmartDevice,
    Role::Printer,
    Role::Media,
    Role::Phone,
    Role::Medical,
    Role::PointOfSale,
];

/// Those of them at which people stand and work, and which are not set up through a page.
pub(super) const USED_AT: &[Role] = &[Role::Media, Role::Phone, Role::PointOfSale];

/// Computers by which a process is run.
pub(super) const RUNNING: &[Role] = &[Role::Scada, Role::Historian, Role::EngineeringStation];

/// Those through which others go: what they do may be done by one who stands behind them.
pub(super) const FORWARDING: &[Role] = &[Role::Router, Role::AccessPoint, Role::Gateway];

/// Computers that people or programs of any kind use.
pub(super) const COMPUTERS: &[Role] =
    &[Role::Workstation, Role::Mobile, Role::Server, Role::EngineeringStation, Role::Scada, Role::Historian];
