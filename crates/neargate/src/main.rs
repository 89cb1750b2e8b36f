fn main() {
    println!("neargate");
}
