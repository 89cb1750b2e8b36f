pub fn register(s: cloud::Service) -> cloud::Service {
    s
}
