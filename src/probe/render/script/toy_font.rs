//! A TrueType font of three signs, made here.

const UNITS: i16 = 1000;

/// A square at U+17000, a triangle at U+17001, nearly the same square at U+17002, nothing at U+17003.
pub(super) fn ttf() -> Vec<u8> {
    let square = |right: i16| outline(&[(0, 0), (0, 800), (right, 800), (right, 0)]);
    let glyphs = [
        outline(&[(0, 0), (0, 900), (900, 0)]),
        square(800),
        outline(&[(0, 0), (400, 800), (800, 0)]),
        square(790),
        Vec::new(),
    ];
    let mut loca = vec![0_u32];
    for glyph in &glyphs {
        loca.push(loca.last().copied().unwrap_or_default() + glyph.len() as u32);
    }
    let numbers =
        |values: &[u32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_be_bytes()).collect() };
    let mut head = vec![0; 54];
    head[..4].copy_from_slice(&[0, 1, 0, 0]);
    head[12..16].copy_from_slice(&0x5F0F_3CF5_u32.to_be_bytes());
    head[18..20].copy_from_slice(&UNITS.to_be_bytes());
    // Offsets of glyphs have four bytes.
    head[50..52].copy_from_slice(&1_i16.to_be_bytes());
    let mut hhea = vec![0; 36];
    hhea[34..36].copy_from_slice(&1_u16.to_be_bytes());
    let mut maxp = vec![0; 32];
    maxp[..4].copy_from_slice(&[0, 1, 0, 0]);
    maxp[4..6].copy_from_slice(&(glyphs.len() as u16).to_be_bytes());
    // One subtable for all of Unicode, in groups: here one of four code points from glyph 1 on.
    let mut cmap = vec![0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12, 0, 12, 0, 0];
    cmap.extend(numbers(&[28, 0, 1, 0x17000, 0x17003, 1]));
    let tables: [(&[u8; 4], Vec<u8>); 7] = [
        (b"cmap", cmap),
        (b"glyf", glyphs.concat()),
        (b"head", head),
        (b"hhea", hhea),
        (b"loca", numbers(&loca)),
        (b"maxp", maxp),
        (
            b"name",
            names(&[(4, "Toy: Script#"), (13, "SIL Open Font License 1.1")]),
        ),
    ];
    file(&tables)
}

/// One closed line of corners.
fn outline(points: &[(i16, i16)]) -> Vec<u8> {
    let of = |pick: fn(&(i16, i16)) -> i16| points.iter().map(pick);
    let bounds = [
        of(|p| p.0).min(),
        of(|p| p.1).min(),
        of(|p| p.0).max(),
        of(|p| p.1).max(),
    ];
    let mut glyph: Vec<u8> = 1_i16.to_be_bytes().to_vec();
    for bound in bounds {
        glyph.extend(bound.unwrap_or_default().to_be_bytes());
    }
    glyph.extend((points.len() as u16 - 1).to_be_bytes());
    // No instructions; every point on the line, both coordinates in two bytes.
    glyph.extend([0, 0]);
    glyph.extend(points.iter().map(|_| 1_u8));
    for pick in [|p: &(i16, i16)| p.0, |p: &(i16, i16)| p.1] {
        let mut before = 0;
        for point in points {
            glyph.extend((pick(point) - before).to_be_bytes());
            before = pick(point);
        }
    }
    glyph.resize(glyph.len().next_multiple_of(4), 0);
    glyph
}

/// Windows names, in UTF-16.
fn names(names: &[(u16, &str)]) -> Vec<u8> {
    let mut texts: Vec<u8> = Vec::new();
    let start = 6 + 12 * names.len();
    let mut table: Vec<u8> = [0, names.len() as u16, start as u16]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    for (id, text) in names {
        let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let record = [3, 1, 0x409, *id, text.len() as u16, texts.len() as u16];
        table.extend(record.iter().flat_map(|v| v.to_be_bytes()));
        texts.extend(text);
    }
    table.extend(texts);
    table
}

fn file(tables: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0];
    bytes.extend((tables.len() as u16).to_be_bytes());
    bytes.extend([0; 6]);
    let mut offset = (bytes.len() + 16 * tables.len()) as u32;
    for (tag, table) in tables {
        bytes.extend_from_slice(*tag);
        for number in [0, offset, table.len() as u32] {
            bytes.extend(number.to_be_bytes());
        }
        offset += (table.len() as u32).next_multiple_of(4);
    }
    for (_, table) in tables {
        bytes.extend(table);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
