//! HL7 version 2.6 (chapters 2, 3, 4 and 7) in the frames of MLLP. Patients are made up and have numbers only.

use crate::net::{ConnId, HOUR, HostId, Net, SECOND};

/// Who a system is to others: its application and its facility.
pub(crate) type Name = (&'static str, &'static str);

/// A moment as HL7 writes it: `20260302080000`. The date is found as Howard Hinnant's `civil_from_days` does.
fn stamp(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let days = nanos / (24 * HOUR) + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// A measurement: code and name by ISO/IEEE 11073-10101, value, unit.
pub(crate) type Value = (u32, &'static str, String, &'static str);

/// A connection over which one system sends messages and the other acknowledges them.
pub(crate) struct Link {
    conn: ConnId,
    from: Name,
    to: Name,
    number: u32,
}

/// Opens a connection.
pub(crate) fn open(net: &mut Net, (client, from): (HostId, Name), (server, to): (HostId, Name)) -> Link {
    let conn = net.connect(client, server, 2575, "hl7");
    Link { conn, from, to, number: 0 }
}

impl Link {
    /// Sends a message of the type and event given, whose further segments are those of `body`, and is told
    /// that it was accepted.
    fn send(&mut self, net: &mut Net, kind: [&str; 3], body: &[String]) {
        self.number += 1;
        let at = stamp(net.clock);
        let number = self.number;
        let [message, event, structure] = kind;
        let header = |(application, facility): Name, (to, to_facility): Name, kind: &str, id: &str| {
            format!("MSH|^~\\&|{application}|{facility}|{to}|{to_facility}|{at}||{kind}|{id}|P|2.6")
        };
        let id = format!("{}{number:07}", &self.from.0[..2]);
        let mut segments = vec![header(self.from, self.to, &format!("{message}^{event}^{structure}"), &id)];
        segments.extend_from_slice(body);
        let answer = [
            header(self.to, self.from, &format!("ACK^{event}^ACK"), &format!("A{number:07}")),
            format!("MSA|AA|{id}"),
        ];
        net.exchange(self.conn, &frame(&segments), &frame(&answer));
    }

    /// A patient comes, moves or goes: events A01, A08, A03.
    pub(crate) fn patient(&mut self, net: &mut Net, event: &str, patient: u32, bed: u32) {
        let at = stamp(net.clock);
        let body = [
            format!("EVN||{at}"),
            format!("PID|1||{patient}^^^HOSP^MR||PATIENT^{patient}||19700101|U"),
            format!("PV1|1|I|WARD3^{bed:02}^A"),
        ];
        self.send(net, ["ADT", event, "ADT_A01"], &body);
    }

    /// What a monitor measures of the patient in a bed (IHE PCD-01); `device` is the monitor's number.
    pub(crate) fn results(
        &mut self,
        net: &mut Net,
        (patient, bed): (u32, u32),
        device: &str,
        software: &str,
        values: &[Value],
    ) {
        let at = stamp(net.clock);
        let mut body = vec![
            format!("SFT|{software}"),
            format!("PID|1||{patient}^^^HOSP^MR||PATIENT^{patient}||19700101|U"),
            format!("PV1|1|I|WARD3^{bed:02}^A"),
            format!("OBR|1|||182777000^monitoring of patient^SCT|||{at}"),
        ];
        for (number, (code, name, value, unit)) in (1..).zip(values) {
            body.push(format!(
                "OBX|{number}|NM|{code}^{name}^MDC|1.1.1.{number}|{value}|{unit}^{unit}^UCUM|||||F|||{at}||||\
                 {device}^^{device}^EUI-64"
            ));
        }
        self.send(net, ["ORU", "R01", "ORU_R01"], &body);
    }

    /// A drug is ordered for a pump.
    pub(crate) fn order(&mut self, net: &mut Net, patient: u32, pump: u32, millilitres: u32) {
        let at = stamp(net.clock);
        let body = [
            format!("PID|1||{patient}^^^HOSP^MR||PATIENT^{patient}||19700101|U"),
            format!("ORC|RE|{patient}{pump:02}|||||||{at}"),
            format!("RXG|1|||{at}|2222^Saline^HOSP|{millilitres}||ml^ml^UCUM||||||||100|ml/h^ml/h^UCUM"),
            format!("OBX|1||69986^MDC_DEV_PUMP_INFUS_VMD^MDC||||||||X|||||||PUMP{pump:02}"),
        ];
        self.send(net, ["RGV", "O15", "RGV_O15"], &body);
    }

    /// Closes the connection.
    pub(crate) fn close(self, net: &mut Net) {
        net.close(self.conn);
    }
}

/// Segments in a frame of MLLP.
fn frame(segments: &[String]) -> Vec<u8> {
    let text: String = segments.iter().map(|segment| format!("{segment}\r")).collect();
    [b"\x0b", text.as_bytes(), b"\x1c\r"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_the_date_of_the_calendar() {
        let seconds = [0, 951_827_696, 1_772_438_400, 4_102_444_799];
        let stamps = seconds.map(|seconds| stamp(seconds * SECOND));
        assert_eq!(stamps, ["19700101000000", "20000229123456", "20260302080000", "20991231235959"]);
    }
}
