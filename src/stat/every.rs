//! Every order of a few things, to hold closed forms against counts. Of tests alone.

/// Shows `visit` every order of `0..n` once, in a fixed sequence.
pub fn orders(n: usize, visit: &mut impl FnMut(&[usize])) {
    fn go(order: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
        if from == order.len() {
            return visit(order);
        }
        for place in from..order.len() {
            order.swap(from, place);
            go(order, from + 1, visit);
            order.swap(from, place);
        }
    }
    go(&mut (0..n).collect(), 0, visit);
}

/// All of them.
pub fn all_orders(n: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    orders(n, &mut |order| all.push(order.to_vec()));
    all
}
