//! The words of rules for countries: the published ones, which are names and not codes.

use std::sync::LazyLock;

use crate::money::Country;

/// Every country's code and its published name, by ascending code.
const NAMES: &str = "\
    AD Andorra AE UnitedArabEmirates AF Afghanistan AG AntiguaAndBarbuda AI Anguilla AL Albania AM Armenia \
    AO Angola AQ Antarctica AR Argentina AS AmericanSamoa AT Austria AU Australia AW Aruba AX AlandIslands \
    AZ Azerbaijan BA BosniaAndHerzegovina BB Barbados BD Bangladesh BE Belgium BF BurkinaFaso BG Bulgaria \
    BH Bahrain BI Burundi BJ Benin BL SaintBarthelemy BM Bermuda BN BruneiDarussalam BO BoliviaPlurinationalState \
    BQ BonaireSintEustatiusAndSaba BR Brazil BS Bahamas BT Bhutan BV BouvetIsland BW Botswana BY Belarus BZ Belize \
    CA Canada CC CocosKeelingIslands CD CongoDemocraticRepublic CF CentralAfricanRepublic CG Congo CH Switzerland \
    CI CotedIvoire CK CookIslands CL Chile CM Cameroon CN China CO Colombia CR CostaRica CU Cuba CV CaboVerde \
    CW Curacao CX ChristmasIsland CY Cyprus CZ Czechia DE Germany DJ Djibouti DK Denmark DM Dominica \
    DO DominicanRepublic DZ Algeria EC Ecuador EE Estonia EG Egypt EH WesternSahara ER Eritrea ES Spain ET Ethiopia \
    FI Finland FJ Fiji FK FalklandIslandsMalvinas FM MicronesiaFederatedStates FO FaroeIslands FR France GA Gabon \
    GB UnitedKingdomOfGreatBritainAndNorthernIreland GD Grenada GE Georgia GF FrenchGuiana GG Guernsey GH Ghana \
    GI Gibraltar GL Greenland GM Gambia GN Guinea GP Guadeloupe GQ EquatorialGuinea GR Greece \
    GS SouthGeorgiaAndTheSouthSandwichIslands GT Guatemala GU Guam GW GuineaBissau GY Guyana HK HongKong \
    HM HeardIslandAndMcDonaldIslands HN Honduras HR Croatia HT Haiti HU Hungary ID Indonesia IE Ireland IL Israel \
    IM IsleOfMan IN India IO BritishIndianOceanTerritory IQ Iraq IR IranIslamicRepublic IS Iceland IT Italy \
    JE Jersey JM Jamaica JO Jordan JP Japan KE Kenya KG Kyrgyzstan KH Cambodia KI Kiribati KM Comoros \
    KN SaintKittsAndNevis KP KoreaDemocraticPeoplesRepublic KR KoreaRepublic KW Kuwait KY CaymanIslands \
    KZ Kazakhstan LA LaoPeoplesDemocraticRepublic LB Lebanon LC SaintLucia LI Liechtenstein LK SriLanka LR Liberia \
    LS Lesotho LT Lithuania LU Luxembourg LV Latvia LY Libya MA Morocco MC Monaco MD MoldovaRepublic ME Montenegro \
    MF SaintMartinFrenchpart MG Madagascar MH MarshallIslands MK MacedoniaTheFormerYugoslavRepublic ML Mali \
    MM Myanmar MN Mongolia MO Macao MP NorthernMarianaIslands MQ Martinique MR Mauritania MS Montserrat MT Malta \
    MU Mauritius MV Maldives MW Malawi MX Mexico MY Malaysia MZ Mozambique NA Namibia NC NewCaledonia NE Niger \
    NF NorfolkIsland NG Nigeria NI Nicaragua NL Netherlands NO Norway NP Nepal NR Nauru NU Niue NZ NewZealand \
    OM Oman PA Panama PE Peru PF FrenchPolynesia PG PapuaNewGuinea PH Philippines PK Pakistan PL Poland \
    PM SaintPierreAndMiquelon PN Pitcairn PR PuertoRico PS PalestineState PT Portugal PW Palau PY Paraguay QA Qatar \
    RE Reunion RO Romania RS Serbia RU RussianFederation RW Rwanda SA SaudiArabia SB SolomonIslands SC Seychelles \
    SD Sudan SE Sweden SG Singapore SH SaintHelenaAscensionAndTristandaCunha SI Slovenia SJ SvalbardAndJanMayen \
    SK Slovakia SL SierraLeone SM SanMarino SN Senegal SO Somalia SR Suriname SS SouthSudan ST SaoTomeAndPrincipe \
    SV ElSalvador SX SintMaartenDutchpart SY SyrianArabRepublic SZ Swaziland TC TurksAndCaicosIslands TD Chad \
    TF FrenchSouthernTerritories TG Togo TH Thailand TJ Tajikistan TK Tokelau TL TimorLeste TM Turkmenistan \
    TN Tunisia TO Tonga TR Turkey TT TrinidadAndTobago TV Tuvalu TW TaiwanProvinceOfChina TZ TanzaniaUnitedRepublic \
    UA Ukraine UG Uganda UM UnitedStatesMinorOutlyingIslands US UnitedStatesOfAmerica UY Uruguay UZ Uzbekistan \
    VA HolySee VC SaintVincentAndTheGrenadines VE VenezuelaBolivarianRepublic VG VirginIslandsBritish \
    VI VirginIslandsUS VN Vietnam VU Vanuatu WF WallisAndFutuna WS Samoa YE Yemen YT Mayotte ZA SouthAfrica \
    ZM Zambia ZW Zimbabwe";

/// The countries by ascending code, each with its name.
static COUNTRIES: LazyLock<Vec<(Country, &'static str)>> = LazyLock::new(|| {
    let words: Vec<&'static str> = NAMES.split(' ').collect();
    let named = |pair: &[&'static str]| match pair {
        [code, name] => Some((code.parse().ok()?, *name)),
        _ => None,
    };
    words.chunks(2).filter_map(named).collect()
});

/// Each country's place in the list, plus 1, by its numeric code.
static PLACES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut places = vec![0; 1_000];
    for ((country, _), place) in COUNTRIES.iter().zip(1..) {
        if let Some(slot) = places.get_mut(usize::from(country.numeric())) {
            *slot = place;
        }
    }
    places
});

/// A country's code in compiled programs: 1 to 249.
pub(super) fn code(country: Country) -> u16 {
    PLACES.get(usize::from(country.numeric())).copied().unwrap_or(0)
}

/// The country with this published name.
pub(super) fn named(name: &str) -> Option<Country> {
    COUNTRIES.iter().find(|(_, known)| *known == name).map(|(country, _)| *country)
}

/// A country's published name.
pub(super) fn name(country: Country) -> &'static str {
    let place = usize::from(code(country)).wrapping_sub(1);
    COUNTRIES.get(place).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_has_one_name_and_one_code() {
        let names: BTreeSet<&str> = COUNTRIES.iter().map(|(_, name)| *name).collect();
        let codes: BTreeSet<u16> = COUNTRIES.iter().map(|(country, _)| code(*country)).collect();
        assert_eq!((names.len(), COUNTRIES.len()), (249, 249));
        assert_eq!(codes, (1..=249).collect());
        for (country, known) in COUNTRIES.iter() {
            assert_eq!((name(*country), named(known)), (*known, Some(*country)));
        }
        let told = |code: &str| name(code.parse().unwrap());
        assert_eq!((told("DE"), told("US"), told("CI")), ("Germany", "UnitedStatesOfAmerica", "CotedIvoire"));
        assert_eq!(named("DE"), None);
    }
}
