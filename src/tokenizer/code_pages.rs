//! The one-byte encodings that UTF-8 is most often mistaken for.
//!
//! Tables as Unicode's `MAPPINGS` directory has them. Windows leaves a few bytes unassigned; they
//! stand for the C1 control characters here, which is how browsers read them.

/// A one-byte encoding: ASCII below 0x80, `upper` from there.
pub(super) struct CodePage {
    /// What the bytes 0x80 to 0xFF stand for: 128 characters.
    upper: &'static str,
    /// Byte 0x1A ("substitute") stands for U+FFFD, a character that was lost on the way.
    pub lossy: bool,
    /// Byte 0xA0 may have become a space. Not so in Mac Roman, where it is a dagger.
    pub spaces: bool,
}

pub(super) const LATIN_1: CodePage = page(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
     ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
    false,
);

pub(super) const WINDOWS_1252: CodePage = page(
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\
     \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
     ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
    true,
);

const WINDOWS_1251: CodePage = page(
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\
     \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
     АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
    true,
);

const WINDOWS_1250: CodePage = page(
    "€\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\
     \u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż\
     ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    true,
);

const WINDOWS_1253: CodePage = page(
    "€\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ\
     ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ",
    true,
);

const WINDOWS_1254: CodePage = page(
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\
     \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
     ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
    true,
);

const WINDOWS_1257: CodePage = page(
    "€\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨ˇ¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}\
     \u{a0}¡¢£¤¥¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ\
     ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
    true,
);

const ISO_8859_2: CodePage = page(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż\
     ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    false,
);

const MAC_ROMAN: CodePage = CodePage {
    upper: "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
            ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
    lossy: false,
    spaces: false,
};

const CODE_PAGE_437: CodePage = page(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
     └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
    false,
);

/// In the order in which they are worth trying.
pub(super) const PAGES: [&CodePage; 10] = [
    &LATIN_1,
    &WINDOWS_1252,
    &WINDOWS_1251,
    &WINDOWS_1250,
    &WINDOWS_1253,
    &WINDOWS_1254,
    &WINDOWS_1257,
    &ISO_8859_2,
    &MAC_ROMAN,
    &CODE_PAGE_437,
];

/// Those that look like Latin-1: letters from 0xC0, signs below.
pub(super) const LIKE_LATIN_1: [&CodePage; 7] = [
    &LATIN_1,
    &WINDOWS_1252,
    &WINDOWS_1251,
    &WINDOWS_1250,
    &WINDOWS_1253,
    &WINDOWS_1254,
    &WINDOWS_1257,
];

const fn page(upper: &'static str, lossy: bool) -> CodePage {
    CodePage {
        upper,
        lossy,
        spaces: true,
    }
}

impl CodePage {
    /// The character that a byte from 0x80 on stands for.
    pub fn decode(&self, byte: u8) -> Option<char> {
        self.upper.chars().nth(usize::from(byte.checked_sub(0x80)?))
    }

    /// The characters of a range of bytes from 0x80 on.
    pub fn range(&self, first: u8, last: u8) -> impl Iterator<Item = char> {
        self.upper
            .chars()
            .skip(usize::from(first.saturating_sub(0x80)))
            .take(usize::from(last.saturating_sub(first)) + 1)
    }

    /// The byte that stands for a character.
    fn encode(&self, character: char) -> Option<u8> {
        match character {
            '\u{fffd}' if self.lossy => Some(0x1a),
            '\u{1a}' if self.lossy => None,
            '\0'..='\x7f' => Some(character as u8),
            _ => {
                let index = self.upper.chars().position(|c| c == character)?;
                u8::try_from(index + 0x80).ok()
            }
        }
    }

    /// The bytes that stand for a text; `None` if one of its characters has none.
    pub fn encode_all(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| self.encode(c)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_128_characters_each_once() {
        for page in PAGES {
            let mut characters: Vec<char> = page.upper.chars().collect();
            assert_eq!(characters.len(), 128);
            characters.sort_unstable();
            characters.dedup();
            assert_eq!(characters.len(), 128);
        }
    }

    #[test]
    fn bytes_come_back() {
        for page in PAGES {
            for byte in 0x80..=0xff {
                assert_eq!(
                    page.decode(byte).and_then(|c| page.encode(c)),
                    Some(byte),
                    "{byte:x}"
                );
            }
        }
        assert_eq!(WINDOWS_1252.encode('€'), Some(0x80));
        assert_eq!(LATIN_1.encode('€'), None);
    }
}
