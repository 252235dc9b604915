//! The published catalogue, as data.

use strum::VariantArray as _;

use super::auth::AuthType::{
    self, BodyKey, CertificateAuth, CurrencyAuthKey, HeaderKey, MultiAuthKey, SignatureKey, TemporaryAuth,
};
use super::catalogue::ConnectorType;

/// The names by the kinds of credential that they accept.
pub(super) const NAMES: [(&[AuthType], &str); 11] = [
    (
        &[HeaderKey],
        "adyen_test adyenplatform archipel bitpay calida celero chargebee checkout_test coinbase ebanx fauxpay \
         gocardless helcim interpayments mifinity multisafepay nexixpay opennode paypal_test paystack phonypay \
         pretendpay recurly revolv3 shift4 signifyd stax stripe stripe_billing_test stripe_test stripebilling taxjar \
         threedsecureio xendit zen",
    ),
    (
        &[BodyKey],
        "absa_sanlam aci affirm airwallex amazonpay authipay authorizedotnet bambora billwerk bluesnap boku breadpay \
         checkbook coingate cryptopay datatrans digitalvirgo dwolla envoy facilitapay fiservemea flexiti globalpay \
         globepay hipay inespay jpmorgan klarna loonio nexinets nomupay payconex payjustnow payjustnowinstore paysafe \
         payu peachpayments placetopay plaid powertranz rapyd razorpay riskified square tokenex truelayer wise zsl",
    ),
    (
        &[SignatureKey],
        "bamboraapac bankofamerica barclaycard blackhawknetwork braintree checkout cybersource \
         cybersourcedecisionmanager deutschebank dlocal elavon fiserv fiuu getnet gigadat hyperpg hyperswitch_vault \
         iatapay moneris noon nordea novalnet nuvei payone paytm phonepe prophetpay redsys silverflow tesouro trustly \
         trustpay trustpayments tsys vgs wellsfargo worldline worldpaymodular worldpayvantiv worldpayxml zift",
    ),
    (&[MultiAuthKey], "finix fiservcommercehub forte paybox tokenio volt"),
    (&[CertificateAuth], "gpayments netcetera santander"),
    (&[CurrencyAuthKey], "cashtocode payload"),
    (&[HeaderKey, BodyKey], "imerchantsolutions mollie nmi"),
    (&[BodyKey, MultiAuthKey], "itaubank"),
    (&[BodyKey, SignatureKey], "adyen payme worldpay"),
    (&[BodyKey, SignatureKey, TemporaryAuth], "paypal"),
    (AuthType::VARIANTS, "cardinal ctp_mastercard ctp_visa custombilling juspaythreedsserver"),
];

// The published rules also name `unified_authentication_service`, which the published names do not have: a host that
// has it adds it.
/// The connectors that serve one purpose only, by the types of account that they allow. The others allow every type.
pub(super) const PURPOSES: [(&[ConnectorType], &str); 6] = [
    (&[ConnectorType::PaymentMethodAuth, ConnectorType::PaymentProcessor], "plaid"),
    (
        &[ConnectorType::AuthenticationProcessor],
        "threedsecureio netcetera gpayments ctp_mastercard ctp_visa juspaythreedsserver cardinal",
    ),
    (&[ConnectorType::TaxProcessor], "taxjar"),
    (&[ConnectorType::BillingProcessor], "chargebee recurly stripebilling custombilling stripe_billing_test"),
    (&[ConnectorType::VaultProcessor], "vgs hyperswitch_vault tokenex"),
    (&[ConnectorType::SurchargeProcessor], "interpayments"),
];

/// The names that a routing choice cannot hold.
pub(super) const NOT_ROUTABLE: &str = "taxjar vgs hyperswitch_vault tokenex gpayments";

/// The names that can pay out.
pub(super) const PAYOUTS: &str = "adyen adyenplatform cybersource ebanx gigadat loonio nomupay nuvei payone paypal \
                                  stripe truelayer trustly wise worldpay worldpayxml envoy itaubank";

/// The names that stand for no real processor.
pub(super) const TEST_ONLY: &str = "stripe_billing_test phonypay fauxpay pretendpay stripe_test adyen_test \
                                    checkout_test paypal_test";
