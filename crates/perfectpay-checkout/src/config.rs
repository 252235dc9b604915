//! What the processor's element is told, as JSON in the page.

use perfectpay::{
    Branding, Colour, LabelType, MessageMode, MethodMessages, Money, PaymentMethod, PaymentMethodType, ShowTerms,
    WebUrl,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::page::PaymentForm;

/// The configuration in `#payment-configuration`. Names of branding fields are the contract's.
#[derive(Serialize)]
pub(crate) struct Configuration<'a> {
    publishable_key: &'a str,
    client_secret: &'a str,
    payment_id: &'a str,
    amount: Option<i64>,
    currency: Option<&'static str>,
    locale: &'a str,
    return_url: Option<&'a WebUrl>,
    theme: &'a str,
    sdk_layout: &'a str,
    enabled_saved_payment_method: bool,
    hide_card_nickname_field: bool,
    show_card_form_by_default: bool,
    enable_button_only_on_form_ready: bool,
    is_setup_mandate_flow: bool,
    skip_status_screen: bool,
    payment_form_label_type: Option<LabelType>,
    show_card_terms: Option<ShowTerms>,
    custom_message_for_payment_method_types: Option<Vec<MethodTexts<'a>>>,
    color_icon_card_cvc_error: Option<&'a str>,
    sdk_ui_rules: Map<String, Value>,
    element: &'a perfectpay::Object,
}

/// The texts of a payment method, as the contract writes them.
#[derive(Serialize)]
struct MethodTexts<'a> {
    payment_method: PaymentMethod,
    payment_method_types: Vec<TypeText<'a>>,
}

#[derive(Serialize)]
struct TypeText<'a> {
    payment_method_type: PaymentMethodType,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    value: &'a str,
    display_mode: MessageMode,
}

/// The texts at payment methods. Those that the page shows are not shown a second time.
fn method_texts(messages: &MethodMessages) -> Vec<MethodTexts<'_>> {
    let mode = |mode| if mode == MessageMode::Custom { MessageMode::Hidden } else { mode };
    messages
        .iter()
        .map(|method| MethodTexts {
            payment_method: method.payment_method,
            payment_method_types: method
                .payment_method_types
                .iter()
                .map(|kind| TypeText {
                    payment_method_type: kind.payment_method_type,
                    message: Message { value: &kind.message.value, display_mode: mode(kind.message.display_mode) },
                })
                .collect(),
        })
        .collect()
}

impl<'a> Configuration<'a> {
    pub(crate) fn of(
        form: &'a PaymentForm<'a>,
        branding: &'a Branding,
        amount: Option<Money>,
        locale: &'a str,
        return_url: Option<&'a WebUrl>,
        sdk_ui_rules: Map<String, Value>,
        terms_are_shown: bool,
    ) -> Self {
        Self {
            publishable_key: form.publishable_key,
            client_secret: form.client_secret.expose(),
            payment_id: form.payment_id.as_str(),
            amount: amount.map(|money| money.amount.get()),
            currency: amount.map(|money| money.currency.code()),
            locale,
            return_url,
            theme: branding.theme.value.as_str(),
            sdk_layout: branding.sdk_layout.value.as_str(),
            enabled_saved_payment_method: branding.enabled_saved_payment_method.value,
            hide_card_nickname_field: branding.hide_card_nickname_field.value,
            show_card_form_by_default: branding.show_card_form_by_default.value,
            enable_button_only_on_form_ready: branding.enable_button_only_on_form_ready.value,
            is_setup_mandate_flow: branding.is_setup_mandate_flow.value == Some(true),
            skip_status_screen: branding.skip_status_screen.value == Some(true),
            payment_form_label_type: branding.payment_form_label_type.value,
            // Terms that the page shows are not shown a second time.
            show_card_terms: if terms_are_shown { Some(ShowTerms::Never) } else { branding.show_card_terms.value },
            custom_message_for_payment_method_types: branding
                .custom_message_for_payment_method_types
                .value
                .as_ref()
                .map(method_texts),
            color_icon_card_cvc_error: branding.color_icon_card_cvc_error.value.as_ref().map(Colour::as_str),
            sdk_ui_rules,
            element: &form.mount.configuration,
        }
    }
}
