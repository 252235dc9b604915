//! Spanish. The signs are those of the Unicode CLDR where they are unambiguous.

use super::{Direction, Language, Sign, Str, Texts};
use std::borrow::Cow::Borrowed;

const fn sign(currency: &'static str, sign: &'static str) -> Sign {
    Sign { currency: Str::Borrowed(currency), sign: Str::Borrowed(sign) }
}

pub(super) const LANGUAGE: Language = Language {
    tag: Borrowed("es"),
    direction: Direction::Ltr,
    months: [
        Borrowed("enero"),
        Borrowed("febrero"),
        Borrowed("marzo"),
        Borrowed("abril"),
        Borrowed("mayo"),
        Borrowed("junio"),
        Borrowed("julio"),
        Borrowed("agosto"),
        Borrowed("septiembre"),
        Borrowed("octubre"),
        Borrowed("noviembre"),
        Borrowed("diciembre"),
    ],
    date: Borrowed("{day} de {month} de {year}, {time} UTC"),
    money: Borrowed("{number}\u{a0}{sign}"),
    signs: Borrowed(&[sign("EUR", "€"), sign("USD", "US$")]),
    texts: Texts {
        payment: Borrowed("Pago"),
        pay_seller: Borrowed("Pagar a {seller}"),
        skip: Borrowed("Ir al formulario de pago"),
        order: Borrowed("Tu pedido"),
        quantity: Borrowed("Cantidad: {count}"),
        total: Borrowed("Total"),
        expires: Borrowed("Abierto hasta el {date}"),
        method: Borrowed("Método de pago"),
        pay_amount: Borrowed("Pagar {amount}"),
        confirm: Borrowed("Confirmar"),
        loading: Borrowed("Cargando el formulario de pago"),
        no_script: Borrowed(
            "El formulario de pago necesita JavaScript. Actívalo en tu navegador y vuelve a cargar esta página.",
        ),
        card_terms: Borrowed(
            "Al pagar con tarjeta autorizas a {seller} a cobrar este importe, de acuerdo con sus condiciones.",
        ),
        mandate_terms: Borrowed(
            "Al confirmar autorizas a {seller} a cobrar con tu tarjeta este pago y los siguientes, de acuerdo con sus condiciones.",
        ),
        the_seller: Borrowed("el vendedor"),
        secured: Borrowed("Tus datos van cifrados directamente al procesador de pagos."),
        powered: Borrowed("Con la tecnología de {platform}"),
        other_device: Borrowed("Pagar en otro dispositivo"),
        qr_code: Borrowed("Código QR que abre esta página"),
        amount: Borrowed("Importe"),
        bounds: Borrowed("De {minimum} a {maximum}"),
        proceed: Borrowed("Continuar"),
        back: Borrowed("Volver a la tienda"),
        scheduled: Borrowed("Todavía no está abierta"),
        scheduled_until: Borrowed("Esta página de pago se abre el {date}."),
        held: Borrowed("Hay un pago en curso"),
        held_why: Borrowed(
            "Alguien está pagando con este enlace en este momento. Si no eres tú, inténtalo de nuevo en unos minutos.",
        ),
        paid: Borrowed("Pago recibido"),
        paid_amount: Borrowed("Se han pagado {amount}. Gracias."),
        paid_why: Borrowed("Ya está pagado. Gracias."),
        failed: Borrowed("El pago no se ha completado"),
        failed_why: Borrowed("El pago de este enlace no se ha completado. Pide uno nuevo al vendedor."),
        used_up: Borrowed("Este enlace ya se ha usado"),
        used_up_why: Borrowed("Se ha pagado tantas veces como estaba permitido. Pide uno nuevo al vendedor."),
        expired: Borrowed("Este enlace ha caducado"),
        expired_why: Borrowed("Ya no está abierto. Pide uno nuevo al vendedor."),
        deactivated: Borrowed("Este enlace está desactivado"),
        deactivated_why: Borrowed("El vendedor lo ha cerrado. Ponte en contacto con él si todavía quieres pagar."),
    },
};
