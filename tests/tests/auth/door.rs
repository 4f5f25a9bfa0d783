//! One connection, with short forms for what these tests do often, in somebody's name or nobody's.

use registry_proto::authpb::permission::Type;
use registry_proto::authpb::{Permission, UserAddOptions};
use registry_proto::etcdserverpb::auth_client::AuthClient;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserGrantRoleRequest, AuthenticateRequest, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use registry_proto::v3electionpb::election_client::ElectionClient;
use registry_proto::v3lockpb::lock_client::LockClient;
use registry_tests::requests;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// Every service, and the token that requests carry.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    channel: Channel,
    token: Option<String>,
}

impl Door {
    pub(crate) async fn open(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL");
        Self::over(endpoint.connect().await.expect("the node serves"))
    }

    /// Over a connection that is there.
    pub(crate) fn over(channel: Channel) -> Self {
        Self { channel, token: None }
    }

    /// The same connection in somebody's name.
    pub(crate) fn by(&self, token: &str) -> Self {
        Self { channel: self.channel.clone(), token: Some(token.to_owned()) }
    }

    /// A request that carries the token, if there is one.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().expect("a token is text"));
        }
        request
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(crate) fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    pub(crate) fn lock(&self) -> LockClient<Channel> {
        LockClient::new(self.channel.clone())
    }

    pub(crate) fn election(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }

    pub(crate) async fn put(&self, request: PutRequest) -> Result<PutResponse, Status> {
        self.kv().put(self.request(request)).await.map(Response::into_inner)
    }

    pub(crate) async fn put_value(&self, key: &str, value: &str) -> Result<PutResponse, Status> {
        self.put(requests::put(key, value.to_owned())).await
    }

    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.kv().range(self.request(request)).await.map(Response::into_inner)
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Result<String, Status> {
        let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
        self.auth().authenticate(request).await.map(|answer| answer.into_inner().token)
    }

    pub(crate) async fn try_add_user(&self, name: &str, password: &str) -> Result<(), Status> {
        let options = Some(UserAddOptions { no_password: false });
        let (name, password) = (name.to_owned(), password.to_owned());
        let request = AuthUserAddRequest { name, password, options, ..AuthUserAddRequest::default() };
        self.auth().user_add(self.request(request)).await.map(drop)
    }

    pub(crate) async fn add_user(&self, name: &str, password: &str) {
        self.try_add_user(name, password).await.expect("the user is new");
    }

    /// A role with one permission.
    pub(crate) async fn add_role(&self, name: &str, kind: Type, key: &str, range_end: &str) {
        let request = AuthRoleAddRequest { name: name.to_owned() };
        self.auth().role_add(self.request(request)).await.expect("the role is new");
        self.permit(name, kind, key, range_end).await.expect("the permission is one");
    }

    pub(crate) async fn permit(&self, role: &str, kind: Type, key: &str, range_end: &str) -> Result<(), Status> {
        let (key, range_end) = (key.to_owned().into(), range_end.to_owned().into());
        let perm = Some(Permission { perm_type: kind.into(), key, range_end });
        let request = AuthRoleGrantPermissionRequest { name: role.to_owned(), perm };
        self.auth().role_grant_permission(self.request(request)).await.map(drop)
    }

    pub(crate) async fn grant_role(&self, user: &str, role: &str) {
        let request = AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
        self.auth().user_grant_role(self.request(request)).await.expect("both are there");
    }

    pub(crate) async fn enable(&self) {
        self.auth().auth_enable(self.request(AuthEnableRequest {})).await.expect("root is there, with its role");
    }
}
