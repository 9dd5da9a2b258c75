//! Who can get where, also through hosts that are taken over on the way.
//!
//! One host reaches another if the policy lets it open any conversation there; whoever is reached could be taken over and go
//! on from there. What hosts that the policy says nothing about do among themselves is not counted. Groups of hosts
//! (multicast, broadcast) are no hosts.
//!
//! The search goes through classes of hosts, not through hosts: all hosts of a class have the same edges. For every class
//! two shortest ways are kept that begin in different classes, because a host does not reach itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use model::DeviceId;

use crate::Map;
use crate::compile::{ClassId, Compiled};
use crate::service::Ports;
use crate::sets::{SetId, Whereabouts};
use crate::syntax::Verdict;
use crate::view::{Member, Selected, Spot, View};

/// One step of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// From whom, by example.
    pub from: String,
    /// To whom, by example.
    pub to: String,
    /// The number of the rule that allows it.
    pub rule: u32,
    /// On which ports.
    pub ports: Ports,
}

/// A shortest way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Its steps.
    pub hops: Vec<Hop>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.hops.first().map_or("", |hop| &hop.from);
        f.write_str(from)?;
        self.hops.iter().try_for_each(|hop| write!(f, " -> {} ({})", hop.to, hop.ports))
    }
}

/// Hosts that are reached, or that reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Who: devices in order, and examples of unknown hosts.
    pub members: Vec<Member>,
    /// How many steps the shortest way has; 1 is a conversation.
    pub hops: usize,
    /// The class, and which way to it.
    at: (ClassId, usize),
}

/// A way that ends at a class: from where it began, how long it is, and what came before.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    origin: ClassId,
    hops: usize,
    /// The class before, and which of its arrivals; none if the way began there.
    before: (ClassId, Option<usize>),
}

/// Which way edges are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// From those who ask.
    Forward,
    /// From those who are asked.
    Backward,
}

/// Who is reached, or reaches, and how.
#[derive(Clone, Debug)]
pub struct Ways<'v> {
    view: &'v View<'v>,
    along: Along,
    starts: Vec<Selected>,
    /// For each class at most two ways, which begin in different classes, the shorter first.
    arrivals: Vec<Vec<Arrival>>,
    /// Sets that stand in a `deny` on the side from which the search goes.
    denies: hashbrown::HashSet<SetId, foldhash::fast::FixedState>,
}

/// So many ways are kept for each class.
const WAYS: usize = 2;

impl<'a> View<'a> {
    /// Who can be reached from somewhere.
    pub fn reachable_from(&self, spot: &Spot<'_>) -> Ways<'_> {
        self.search(self.select(spot), Along::Forward)
    }

    /// Who can reach somewhere.
    pub fn who_reaches(&self, spot: &Spot<'_>) -> Ways<'_> {
        self.search(self.select(spot), Along::Backward)
    }

    /// A shortest way from somewhere to somewhere else, if there is one.
    pub fn way(&self, from: &Spot<'_>, to: &Spot<'_>) -> Option<Way> {
        let search = self.search(self.select(from), Along::Forward);
        let ends = self.select(to).into_iter().filter_map(|end| {
            let arrival = search.arrival_at(&end)?;
            Some((search.arrivals.get(end.class as usize)?.get(arrival)?.hops, end.class, arrival))
        });
        ends.min().map(|(_, class, arrival)| search.way_to(class, arrival))
    }

    /// The zones and groups that can be reached from somewhere, and `internet`, each with a shortest way.
    pub(crate) fn names_reached(&self, spot: &Spot<'_>) -> BTreeMap<String, Way> {
        let search = self.search(self.select(spot), Along::Forward);
        let mut names: BTreeMap<String, (usize, ClassId, usize)> = BTreeMap::new();
        for class in 0..self.compiled.classes.len() as ClassId {
            let Some(arrival) = search.arrival_at(&Selected { class, only: None }) else { continue };
            let hops = search
                .arrivals
                .get(class as usize)
                .and_then(|all| all.get(arrival))
                .map_or(0, |one| one.hops);
            let of = self.compiled.class(class);
            let internet = self.is_internet(class).then_some("internet");
            for name in self.compiled.names_of(of).into_iter().chain(internet) {
                let found = names.entry(name.to_owned()).or_insert((hops, class, arrival));
                *found = (*found).min((hops, class, arrival));
            }
        }
        names.into_iter().map(|(name, (_, class, arrival))| (name, search.way_to(class, arrival))).collect()
    }

    /// Whether some host of one class may open a conversation to another host of the other.
    pub(crate) fn edge(&self, client: ClassId, server: ClassId) -> bool {
        self.could(client, server)
            && !self.compiled.open_ports(self.compiled.class(client), self.compiled.class(server)).is_empty()
    }

    /// Whether there are two hosts of which one could open a conversation to the other.
    fn could(&self, client: ClassId, server: ClassId) -> bool {
        (client != server || !self.is_alone(client)) && self.can_ask(client) && self.can_ask(server)
    }

    fn search<'v>(&'v self, starts: Vec<Selected>, along: Along) -> Ways<'v> {
        let sides = self.compiled.entries.iter().filter(|entry| entry.verdict == Verdict::Deny);
        let denies = sides.map(|entry| if along == Along::Forward { entry.from } else { entry.to }).collect();
        let arrivals = vec![Vec::new(); self.compiled.classes.len()];
        let mut search = Ways { view: self, along, starts, arrivals, denies };
        search.run();
        search
    }
}

/// Of whom an expansion is the same: those who are denied and bound in the same way.
type Profile = (Box<[SetId]>, Box<[u32]>);

impl<'v> Ways<'v> {
    const fn compiled(&self) -> &'v Compiled {
        self.view.compiled
    }

    fn run(&mut self) {
        let compiled = self.compiled();
        let mut profiles: Map<Profile, u32> = Map::default();
        // By profile and pair of sets: the origins for which the pair has been gone through.
        let mut done: Map<(u32, SetId, SetId), [Option<ClassId>; WAYS]> = Map::default();
        let mut queue: VecDeque<(ClassId, Option<usize>)> = VecDeque::new();
        for start in &self.starts {
            if self.view.can_ask(start.class) {
                queue.push_back((start.class, None));
            }
        }
        while let Some((from, arrival)) = queue.pop_front() {
            let found = self.arrivals.get(from as usize).and_then(|all| all.get(arrival?));
            let (origin, hops) = found.map_or((from, 0), |arrival| (arrival.origin, arrival.hops));
            let class = compiled.class(from);
            let (near, far) = match self.along {
                Along::Forward => (&class.from, &compiled.onward),
                Along::Backward => (&class.to, &compiled.backward),
            };
            let denied: Box<[SetId]> = near.iter().copied().filter(|set| self.denies.contains(set)).collect();
            let bound = !denied.is_empty() || !class.zones.is_empty() && !compiled.crossings.is_empty();
            let number = profiles.len() as u32;
            let profile = *profiles.entry((denied, class.zones.clone())).or_insert(number);
            for near in near {
                for far in far.get(near).map_or(&[][..], Vec::as_slice) {
                    let gone = done.entry((profile, *near, *far)).or_default();
                    if gone.contains(&Some(origin)) || !gone.contains(&None) {
                        continue;
                    }
                    // A class that would reach itself alone is left out, so the pair is not gone through for others.
                    let own = self.view.is_alone(from) && class.sets.contains(far);
                    if let Some(free) = gone.iter_mut().find(|free| free.is_none()).filter(|_| !own) {
                        *free = Some(origin);
                    }
                    let next = Arrival { origin, hops: hops + 1, before: (from, arrival) };
                    self.expand(from, next, (*near, *far), bound, &mut queue);
                }
            }
        }
    }

    /// Goes through all who are reached from a class by the rules from one set to another. Unless the class is `bound` by a
    /// `deny` or a conduit, what the rules allow is open.
    fn expand(
        &mut self,
        from: ClassId,
        arrival: Arrival,
        (near, far): (SetId, SetId),
        bound: bool,
        queue: &mut VecDeque<(ClassId, Option<usize>)>,
    ) {
        let view = self.view;
        let (source, destination) = if self.along == Along::Forward { (near, far) } else { (far, near) };
        let allows = view.compiled.of_pair(source, destination).iter().any(|number| {
            let entry = view.compiled.entries.get(*number as usize);
            entry.is_some_and(|entry| {
                entry.verdict == Verdict::Allow
                    && view
                        .compiled
                        .services
                        .get(entry.services as usize)
                        .is_some_and(|one| !one.ports.is_empty())
            })
        });
        if !allows {
            return;
        }
        for next in view.classes(far) {
            let Some(arrivals) = self.arrivals.get_mut(*next as usize) else { continue };
            if arrivals.len() >= WAYS || arrivals.iter().any(|known| known.origin == arrival.origin) {
                continue;
            }
            let (client, server) = if self.along == Along::Forward { (from, *next) } else { (*next, from) };
            let open = if bound { view.edge(client, server) } else { view.could(client, server) };
            if open {
                queue.push_back((*next, Some(arrivals.len())));
                arrivals.push(arrival);
            }
        }
    }

    /// Which of the ways to a class counts for these hosts of it: one that did not begin with the one host itself.
    fn arrival_at(&self, end: &Selected) -> Option<usize> {
        let arrivals = self.arrivals.get(end.class as usize)?;
        let started = self.starts.iter().find(|start| start.class == end.class);
        let itself = match (started, &end.only) {
            (Some(_), _) if self.view.is_alone(end.class) => true,
            // One host of many began: what it reaches of its own class are the others.
            (Some(Selected { only: Some(began), .. }), Some(ends)) => began.len() == 1 && began == ends,
            _ => false,
        };
        arrivals.iter().position(|arrival| !itself || arrival.origin != end.class)
    }

    /// Everybody who is at the end of a way, nearest first.
    pub fn reached(&self) -> Vec<Reached> {
        let mut all = Vec::new();
        for class in 0..self.arrivals.len() as ClassId {
            let members = self.view.members(class);
            let selected = |member: &Member| match member {
                Member::Device(id) => Selected { class, only: Some(vec![*id]) },
                Member::Address(_) | Member::Mac(_) => Selected { class, only: None },
            };
            let mut by_arrival: [Vec<Member>; WAYS] = Default::default();
            for member in members {
                if let Some(found) = self.arrival_at(&selected(member)).and_then(|at| by_arrival.get_mut(at))
                {
                    found.push(*member);
                }
            }
            for (arrival, members) in
                by_arrival.into_iter().enumerate().filter(|(_, members)| !members.is_empty())
            {
                let hops = self
                    .arrivals
                    .get(class as usize)
                    .and_then(|all| all.get(arrival))
                    .map_or(0, |one| one.hops);
                all.push(Reached { members, hops, at: (class, arrival) });
            }
        }
        all.sort_by(|a, b| (a.hops, &a.members).cmp(&(b.hops, &b.members)));
        all
    }

    /// A shortest way there.
    pub fn way(&self, reached: &Reached) -> Way {
        self.way_to(reached.at.0, reached.at.1)
    }

    fn way_to(&self, class: ClassId, arrival: usize) -> Way {
        let mut steps = Vec::new();
        let mut at = (class, Some(arrival));
        while let Some(found) = at.1.and_then(|arrival| self.arrivals.get(at.0 as usize)?.get(arrival)) {
            let (from, to) = match self.along {
                Along::Forward => (found.before.0, at.0),
                Along::Backward => (at.0, found.before.0),
            };
            steps.push(self.hop(from, to));
            at = found.before;
        }
        if self.along == Along::Forward {
            steps.reverse();
        }
        Way { hops: steps }
    }

    fn hop(&self, from: ClassId, to: ClassId) -> Hop {
        let compiled = self.compiled();
        let (client, server) = (compiled.class(from), compiled.class(to));
        let ports = compiled.open_ports(client, server);
        let opens = |number: &u32| {
            let entry = compiled.entries.get(*number as usize);
            entry.filter(|entry| entry.verdict == Verdict::Allow).is_some_and(|entry| {
                let services = compiled.services.get(entry.services as usize);
                services.is_some_and(|services| !services.ports.intersection(&ports).is_empty())
            })
        };
        let rule = compiled.between(client, server).filter(opens).min().unwrap_or_default();
        Hop { from: self.view.example(from), to: self.view.example(to), rule, ports }
    }
}

/// Something that the policy says must never be possible, and is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant in the policy.
    pub invariant: usize,
    /// A shortest way by which it is possible.
    pub way: Way,
}

impl View<'_> {
    /// Every invariant that does not hold, with a way that shows it.
    pub fn violations(&self) -> Vec<Violation> {
        let sets = self.compiled.invariants.iter().enumerate();
        sets.filter_map(|(invariant, (from, to))| {
            let spot = |set: &SetId| Spot::Set(crate::view::SetRef(*set));
            self.way(&spot(from), &spot(to)).map(|way| Violation { invariant, way })
        })
        .collect()
    }

    /// Whether a device can reach another, if not straight then through others.
    pub fn reaches(&self, from: DeviceId, to: DeviceId) -> bool {
        from != to && self.way(&Spot::Device(from), &Spot::Device(to)).is_some()
    }

    /// Whether somewhere is the Internet.
    pub(crate) fn is_internet(&self, class: ClassId) -> bool {
        self.compiled.class(class).place == Whereabouts::Internet
    }
}
