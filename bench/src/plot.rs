//! A plot as SVG: a few lines on logarithmic scales, readable on light and dark paper, with a table
//! of the numbers for who cannot see it. Pure.

use std::fmt::Write as _;

/// Points that belong together.
pub(crate) struct Line {
    /// What it is.
    pub(crate) name: String,
    /// From left to right; all above zero.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether it is what others are compared with.
    pub(crate) floor: bool,
}

/// A plot.
pub(crate) struct Plot<'p> {
    /// What it shows.
    pub(crate) title: &'p str,
    /// The lower axis, with its unit.
    pub(crate) across: &'p str,
    /// The left axis, with its unit.
    pub(crate) up: &'p str,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Left, right, top and bottom of where the lines are.
const FRAME: [f64; 4] = [70.0, 470.0, 50.0, 340.0];
/// Bright and dark enough for either paper, as is the grey of the words.
const COLOURS: [&str; 4] = ["#3b82d0", "#d9762b", "#2f9e63", "#a35bc4"];

const STYLE: &str = "\
text { font: 13px sans-serif; fill: #777 } .title { font-size: 15px; font-weight: bold }
.grid { stroke: #8886; stroke-width: 1 } .line { fill: none; stroke-width: 2 }
.floor { stroke-dasharray: 6 4 }";

/// A scale: the powers of ten that hold all values.
struct Scale {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Scale {
        let powers: Vec<f64> = values.map(f64::log10).collect();
        let low = powers.iter().copied().fold(f64::INFINITY, f64::min).floor() as i32;
        let high = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() as i32;
        Scale { low, high: high.max(low + 1), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// The powers of ten, and where they are.
    fn ticks(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        (self.low..=self.high).map(|power| (power, self.place(10_f64.powi(power))))
    }
}

impl Plot<'_> {
    /// The whole picture; nothing when there is no point.
    pub(crate) fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        points().next()?;
        let [left, right, top, bottom] = FRAME;
        let across = Scale::of(points().map(|point| point.0), left, right);
        let up = Scale::of(points().map(|point| point.1), bottom, top);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n<style>{STYLE}</style>\n",
            escaped(self.title),
            escaped(&self.table())
        );
        self.axes(&mut svg, &across, &up);
        for (i, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let place = |point: &(f64, f64)| (across.place(point.0), up.place(point.1));
            let places: Vec<_> = line.points.iter().map(place).collect();
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let class = if line.floor { "line floor" } else { "line" };
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline class=\"{class}\" stroke=\"{colour}\" points=\"{path}\"/>"
            );
            for (x, y) in &places {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let (x, y) = (right + 14.0, top + 10.0 + 22.0 * i as f64);
            let name = escaped(&line.name);
            let _ = writeln!(
                svg,
                "<path class=\"{class}\" stroke=\"{colour}\" d=\"M{x:.0} {y:.0}h22\"/>\n\
                 <text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
                x + 28.0,
                y + 4.0
            );
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn axes(&self, svg: &mut String, across: &Scale, up: &Scale) {
        let [left, right, top, bottom] = FRAME;
        let _ = writeln!(
            svg,
            "<text class=\"title\" x=\"{left}\" y=\"28\">{}</text>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {:.0}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(self.title),
            f64::midpoint(left, right),
            bottom + 44.0,
            escaped(self.across),
            f64::midpoint(top, bottom),
            escaped(self.up)
        );
        for (power, x) in across.ticks() {
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                bottom + 20.0,
                tick(power)
            );
        }
        for (power, y) in up.ticks() {
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                tick(power)
            );
        }
    }

    /// The same in words.
    fn table(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let points = line.points.iter().map(|(x, y)| format!("{x}: {y:.3}"));
            format!("{}: {}", line.name, points.collect::<Vec<_>>().join(", "))
        });
        let lines = lines.collect::<Vec<_>>().join("; ");
        format!("{} over {}. {lines}", self.up, self.across)
    }
}

/// A power of ten as people write it.
fn tick(power: i32) -> String {
    match power {
        ..0 => format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power)),
        0..3 => format!("{:.0}", 10_f64.powi(power)),
        3..6 => format!("{:.0}k", 10_f64.powi(power - 3)),
        _ => format!("{:.0}M", 10_f64.powi(power - 6)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)], floor: bool) -> Line {
        Line { name: name.to_owned(), points: points.to_vec(), floor }
    }

    #[test]
    fn every_point_is_within_the_frame_and_higher_values_stand_higher() {
        let across = Scale::of([1e3, 1e5].into_iter(), FRAME[0], FRAME[1]);
        assert_eq!((across.place(1e3), across.place(1e5)), (FRAME[0], FRAME[1]));
        assert_eq!(across.place(1e4), f64::midpoint(FRAME[0], FRAME[1]));
        let up = Scale::of([0.7, 30.0].into_iter(), FRAME[3], FRAME[2]);
        assert!(up.place(30.0) < up.place(0.7));
        assert!([0.7, 30.0].iter().all(|v| (FRAME[2]..=FRAME[3]).contains(&up.place(*v))));
        let one = Scale::of([100.0].into_iter(), 0.0, 1.0);
        assert_eq!((one.place(100.0), one.place(1000.0)), (0.0, 1.0), "one value has a scale");
    }

    #[test]
    fn a_plot_has_its_names_units_and_numbers_and_no_plot_is_empty() {
        let lines = vec![
            line("A to B <x>", &[(1000.0, 0.8), (10_000.0, 1.2)], false),
            line("cp", &[(1000.0, 0.1)], true),
        ];
        let plot = Plot { title: "t & t", across: "files", up: "ms", lines };
        let svg = plot.svg().expect("a plot");
        for part in ["t &amp; t", ">files<", ">ms<", "&lt;x&gt;", ">10k<", ">0.1<", "line floor"] {
            assert!(svg.contains(part), "no `{part}` in {svg}");
        }
        assert!(svg.contains("A to B &lt;x&gt;: 1000: 0.800, 10000: 1.200"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        let empty = Plot { title: "", across: "", up: "", lines: vec![line("", &[], false)] };
        assert_eq!(empty.svg(), None);
    }

    #[test]
    fn ticks_are_written_as_people_do() {
        let ticks: Vec<String> = [-2, 0, 2, 3, 5, 6].into_iter().map(tick).collect();
        assert_eq!(ticks, ["0.01", "1", "100", "1k", "100k", "1M"]);
    }
}
