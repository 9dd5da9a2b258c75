//! Numbers of services, states and tokens.

use model::OperationKind;

/// Services by the identifier of their binary encoding (Part 6, annex A): name and what they do. A
/// response has the number of its request and three more, with few exceptions.
pub(super) const fn service(code: u32) -> Option<(&'static str, Option<OperationKind>)> {
    use OperationKind::{Authenticate, Configure, Discover, Execute, Read, Subscribe, Write};
    Some(match code {
        397 => ("service-fault", None),
        422 | 425 => ("find-servers", Some(Discover)),
        428 | 431 => ("get-endpoints", Some(Discover)),
        437 | 440 => ("register-server", None),
        446 | 449 => ("open-secure-channel", None),
        452 | 455 => ("close-secure-channel", None),
        461 | 464 => ("create-session", None),
        467 | 470 => ("activate-session", Some(Authenticate)),
        473 | 476 => ("close-session", None),
        479 | 482 => ("cancel", None),
        488 | 491 => ("add-nodes", Some(Configure)),
        494 | 497 => ("add-references", Some(Configure)),
        500 | 503 => ("delete-nodes", Some(Configure)),
        506 | 509 => ("delete-references", Some(Configure)),
        527 | 530 => ("browse", Some(Discover)),
        533 | 536 => ("browse-next", None),
        554 | 557 => ("translate-browse-paths", Some(Discover)),
        560 | 563 => ("register-nodes", None),
        566 | 569 => ("unregister-nodes", None),
        615 | 618 => ("query-first", Some(Read)),
        621 | 624 => ("query-next", None),
        631 | 634 => ("read", Some(Read)),
        664 | 667 => ("history-read", Some(Read)),
        673 | 676 => ("write", Some(Write)),
        700 | 703 => ("history-update", Some(Write)),
        712 | 715 => ("call", Some(Execute)),
        751 | 754 => ("create-monitored-items", Some(Subscribe)),
        763 | 766 => ("modify-monitored-items", None),
        769 | 772 => ("set-monitoring-mode", None),
        775 | 778 => ("set-triggering", None),
        781 | 784 => ("delete-monitored-items", None),
        787 | 790 => ("create-subscription", Some(Subscribe)),
        793 | 796 => ("modify-subscription", None),
        799 | 802 => ("set-publishing-mode", None),
        826 | 829 => ("publish", None),
        832 | 835 => ("republish", None),
        841 | 844 => ("transfer-subscriptions", None),
        847 | 850 => ("delete-subscriptions", None),
        12_208 | 12_209 => ("find-servers-on-network", Some(Discover)),
        12_211 | 12_212 => ("register-server-2", None),
        _ => return None,
    })
}

/// Whether the number is that of a request.
pub(super) fn is_request(code: u32) -> bool {
    match code {
        12_208 | 12_211 => true,
        12_209 | 12_212 => false,
        // What follows a request by three is its response.
        _ => match (service(code), service(code.wrapping_add(3))) {
            (Some((name, _)), Some((next, _))) => name == next,
            _ => false,
        },
    }
}

/// How messages are secured (Part 4, 7.20).
pub(super) const fn security_mode(code: u32) -> &'static str {
    match code {
        0 => "invalid",
        1 => "none",
        2 => "sign",
        3 => "sign-and-encrypt",
        _ => "unknown",
    }
}

/// What an application is (Part 4, 7.4).
pub(super) const fn application_type(code: u32) -> &'static str {
    match code {
        0 => "server",
        1 => "client",
        2 => "client-and-server",
        3 => "discovery-server",
        _ => "unknown",
    }
}

/// Kinds of identity that an endpoint accepts (Part 4, 7.42).
pub(super) const fn token_type(code: u32) -> &'static str {
    match code {
        0 => "anonymous",
        1 => "user-name",
        2 => "certificate",
        3 => "issued-token",
        _ => "unknown",
    }
}

/// Kinds of identity by the identifier of their binary encoding.
pub(super) const fn identity_token(code: u32) -> &'static str {
    match code {
        321 => "anonymous",
        324 => "user-name",
        327 => "certificate",
        940 => "issued-token",
        _ => "unknown",
    }
}

/// Attributes of nodes (Part 6, annex A.1).
pub(super) const fn attribute(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "NodeId",
        2 => "NodeClass",
        3 => "BrowseName",
        4 => "DisplayName",
        5 => "Description",
        6 => "WriteMask",
        7 => "UserWriteMask",
        8 => "IsAbstract",
        12 => "EventNotifier",
        13 => "Value",
        14 => "DataType",
        15 => "ValueRank",
        16 => "ArrayDimensions",
        17 => "AccessLevel",
        18 => "UserAccessLevel",
        19 => "MinimumSamplingInterval",
        20 => "Historizing",
        21 => "Executable",
        22 => "UserExecutable",
        _ => return None,
    })
}

/// States that say why something is refused (Part 6, annex A.2).
pub(super) const fn status(code: u32) -> Option<&'static str> {
    Some(match code >> 16 {
        0x0000 => "Good",
        0x8001 => "BadUnexpectedError",
        0x8002 => "BadInternalError",
        0x800a => "BadTimeout",
        0x800b => "BadServiceUnsupported",
        0x8012 => "BadCertificateInvalid",
        0x8013 => "BadSecurityChecksFailed",
        0x801a => "BadCertificateUntrusted",
        0x801f => "BadUserAccessDenied",
        0x8020 => "BadIdentityTokenInvalid",
        0x8021 => "BadIdentityTokenRejected",
        0x8022 => "BadSecureChannelIdInvalid",
        0x8025 => "BadSessionIdInvalid",
        0x8026 => "BadSessionClosed",
        0x8033 => "BadNodeIdInvalid",
        0x8034 => "BadNodeIdUnknown",
        0x8035 => "BadAttributeIdInvalid",
        0x803a => "BadNotReadable",
        0x803b => "BadNotWritable",
        0x803c => "BadOutOfRange",
        0x8054 => "BadSecurityModeRejected",
        0x8055 => "BadSecurityPolicyRejected",
        0x8056 => "BadTooManySessions",
        0x8057 => "BadUserSignatureInvalid",
        0x8074 => "BadTypeMismatch",
        0x8075 => "BadMethodInvalid",
        0x8079 => "BadNoSubscription",
        0x807d => "BadTcpServerTooBusy",
        0x807e => "BadTcpMessageTypeInvalid",
        0x807f => "BadTcpSecureChannelUnknown",
        0x8080 => "BadTcpMessageTooLarge",
        0x8081 => "BadTcpNotEnoughResources",
        0x8082 => "BadTcpInternalError",
        0x8083 => "BadTcpEndpointUrlInvalid",
        _ => return None,
    })
}
