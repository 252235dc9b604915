//! The kinds of each payment method, as one table.

use serde::{Deserialize, Serialize};

use super::methods::PaymentMethod;

macro_rules! method_types {
    ($([$($method:ident),+] { $($variant:ident = $text:literal,)+ })+) => {
        /// A kind of payment method: a scheme, a wallet, a bank product.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum PaymentMethodType {
            $($(
                #[doc = concat!("Published as `", $text, "`.")]
                #[serde(rename = $text)]
                #[strum(serialize = $text)]
                $variant,
            )+)+
        }

        impl PaymentMethodType {
            /// The methods that it is a kind of: one, or two for `ach` and `bacs`.
            pub fn methods(self) -> &'static [PaymentMethod] {
                match self {
                    $($(Self::$variant)|+ => &[$(PaymentMethod::$method),+],)+
                }
            }
        }
    };
}

method_types! {
    [Card] {
        Credit = "credit",
        Debit = "debit",
    }
    [CardRedirect] {
        Benefit = "benefit",
        CardRedirect = "card_redirect",
        Knet = "knet",
        MomoAtm = "momo_atm",
    }
    [PayLater] {
        Affirm = "affirm",
        AfterpayClearpay = "afterpay_clearpay",
        Alma = "alma",
        Atome = "atome",
        Breadpay = "breadpay",
        Flexiti = "flexiti",
        Klarna = "klarna",
        PayBright = "pay_bright",
        Payjustnow = "payjustnow",
        Walley = "walley",
    }
    [Wallet] {
        AliPay = "ali_pay",
        AliPayHk = "ali_pay_hk",
        AmazonPay = "amazon_pay",
        ApplePay = "apple_pay",
        Bluecode = "bluecode",
        Cashapp = "cashapp",
        Dana = "dana",
        Gcash = "gcash",
        GoPay = "go_pay",
        GooglePay = "google_pay",
        KakaoPay = "kakao_pay",
        MbWay = "mb_way",
        Mifinity = "mifinity",
        MobilePay = "mobile_pay",
        Momo = "momo",
        Paypal = "paypal",
        Paysera = "paysera",
        Paze = "paze",
        RevolutPay = "revolut_pay",
        SamsungPay = "samsung_pay",
        Skrill = "skrill",
        TouchNGo = "touch_n_go",
        Twint = "twint",
        Venmo = "venmo",
        Vipps = "vipps",
        WeChatPay = "we_chat_pay",
    }
    [BankRedirect] {
        BancontactCard = "bancontact_card",
        Bizum = "bizum",
        Blik = "blik",
        Eft = "eft",
        Eps = "eps",
        Giropay = "giropay",
        Ideal = "ideal",
        Interac = "interac",
        LocalBankRedirect = "local_bank_redirect",
        OnlineBankingCzechRepublic = "online_banking_czech_republic",
        OnlineBankingFinland = "online_banking_finland",
        OnlineBankingFpx = "online_banking_fpx",
        OnlineBankingPoland = "online_banking_poland",
        OnlineBankingSlovakia = "online_banking_slovakia",
        OnlineBankingThailand = "online_banking_thailand",
        OpenBanking = "open_banking",
        OpenBankingUk = "open_banking_uk",
        Przelewy24 = "przelewy24",
        Sofort = "sofort",
        Swish = "swish",
        Trustly = "trustly",
    }
    [BankTransfer] {
        BcaBankTransfer = "bca_bank_transfer",
        BniVa = "bni_va",
        BriVa = "bri_va",
        CimbVa = "cimb_va",
        DanamonVa = "danamon_va",
        IndonesianBankTransfer = "indonesian_bank_transfer",
        InstantBankTransfer = "instant_bank_transfer",
        InstantBankTransferFinland = "instant_bank_transfer_finland",
        InstantBankTransferPoland = "instant_bank_transfer_poland",
        LocalBankTransfer = "local_bank_transfer",
        MandiriVa = "mandiri_va",
        Multibanco = "multibanco",
        PermataBankTransfer = "permata_bank_transfer",
        Pix = "pix",
        PixAutomaticoPush = "pix_automatico_push",
        PixAutomaticoQr = "pix_automatico_qr",
        PixEmv = "pix_emv",
        PixKey = "pix_key",
        PixQr = "pix_qr",
        Pse = "pse",
        SepaBankTransfer = "sepa_bank_transfer",
    }
    [BankTransfer, BankDebit] {
        Ach = "ach",
        Bacs = "bacs",
    }
    [BankDebit] {
        Becs = "becs",
        EftDebitOrder = "eft_debit_order",
        Sepa = "sepa",
        SepaGuaranteedDebit = "sepa_guarenteed_debit",
    }
    [Crypto] {
        CryptoCurrency = "crypto_currency",
    }
    [Reward] {
        Classic = "classic",
        Evoucher = "evoucher",
    }
    [RealTimePayment] {
        DuitNow = "duit_now",
        Fps = "fps",
        PromptPay = "prompt_pay",
        Qris = "qris",
        VietQr = "viet_qr",
    }
    [Upi] {
        UpiCollect = "upi_collect",
        UpiIntent = "upi_intent",
        UpiQr = "upi_qr",
    }
    [Voucher] {
        Alfamart = "alfamart",
        Boleto = "boleto",
        Efecty = "efecty",
        FamilyMart = "family_mart",
        Indomaret = "indomaret",
        Lawson = "lawson",
        MiniStop = "mini_stop",
        Oxxo = "oxxo",
        PagoEfectivo = "pago_efectivo",
        PayEasy = "pay_easy",
        RedCompra = "red_compra",
        RedPagos = "red_pagos",
        Seicomart = "seicomart",
        SevenEleven = "seven_eleven",
    }
    [GiftCard] {
        BhnCardNetwork = "bhn_card_network",
        Givex = "givex",
        PaySafeCard = "pay_safe_card",
    }
    [OpenBanking] {
        OpenBankingPis = "open_banking_pis",
    }
    [MobilePayment] {
        DirectCarrierBilling = "direct_carrier_billing",
    }
    [NetworkToken] {
        NetworkToken = "network_token",
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn each_method_has_as_many_types_as_published() {
        let counts: Vec<usize> = PaymentMethod::VARIANTS
            .iter()
            .map(|m| PaymentMethodType::VARIANTS.iter().filter(|t| t.methods().contains(m)).count())
            .collect();
        assert_eq!(counts, [2, 4, 10, 26, 21, 23, 1, 6, 2, 5, 3, 14, 3, 1, 1, 1]);
        assert_eq!(PaymentMethodType::VARIANTS.len(), 121);
    }

    #[test]
    fn only_ach_and_bacs_are_shared() {
        let shared: Vec<_> = PaymentMethodType::VARIANTS.iter().filter(|t| t.methods().len() > 1).collect();
        assert_eq!(shared, [&PaymentMethodType::Ach, &PaymentMethodType::Bacs]);
    }

    #[test]
    fn the_published_misspelling_is_kept_in_the_text() {
        assert_eq!(PaymentMethodType::SepaGuaranteedDebit.to_string(), "sepa_guarenteed_debit");
        assert_eq!(serde_json::to_value(PaymentMethodType::SepaGuaranteedDebit).unwrap(), "sepa_guarenteed_debit");
    }
}
