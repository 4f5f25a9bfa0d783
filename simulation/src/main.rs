//! tmp
use registry_simulation::*;

fn main() {
    let from: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let to: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let started = std::time::Instant::now();
    let mut bad = 0;
    for seed in from..to {
        let plan = Plan::new(seed);
        let t = std::time::Instant::now();
        let out = simulate(&plan, to == from + 1);
        if to == from + 1 {
            println!("{plan}{}", out.trace.unwrap_or_default());
        }
        if to - from <= 3 {
            println!(
                "{:?} {:?} {} msgs, {} lines {:?}",
                t.elapsed(),
                out.lasted,
                out.messages,
                out.lines,
                out.report.counts
            );
        }
        if !out.problems.is_empty() {
            bad += 1;
            let mut p = out.problems;
            p.dedup();
            for p in p.iter().take(3) {
                println!("{seed}: {}", p.chars().take(330).collect::<String>());
            }
        }
        if std::env::args().nth(3).is_some() {
            let again = simulate(&plan, false);
            if again.hash != out.hash {
                println!("{seed} DIFFERS {} {}", out.lines, again.lines);
            }
        }
    }
    println!("{bad} bad, {} ms a seed", started.elapsed().as_millis() as u64 / (to - from));
}
